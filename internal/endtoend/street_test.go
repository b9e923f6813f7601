// SPDX-License-Identifier: AGPL-3.0-or-later

package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/citylearn"
)

// recordedHomes are 17 real houses; they stay where they are.
const recordedHomes = "../../../shared/data/citylearn-2022"

// The three days that are lived through: a fair one, a dull one and one of much
// sun, in autumn. The recording's row 6912 plays at dayOne.
const (
	startHour = 6912
	days      = 3
	dayOne    = "2026-10-15T00:00:00Z"
)

// batteries says which homes have one. They stand beside the home's meter, so
// that the meter sees what the recording says.
const batteryEvery = 3

// street is the community under test in files: a folder for the coordinator and
// one for each gateway and each simulated site.
type street struct {
	dir   string
	homes []string       // Building_1 …
	homeI map[string]int // by slug
	// listeners are the coordinator's addresses: http, grpc, gateways.
	listeners [3]string
	// database is a server's; empty: a file in the data folder.
	database string
	// batteryless: no home has a battery, so that the meters say the same in every life.
	batteryless bool
}

// id turns Building_1 into a slug.
func id(home string) string { return strings.ReplaceAll(strings.ToLower(home), "_", "-") }

func gatewayOf(i int) string { return fmt.Sprintf("gw-%d", i%3+1) }

func (s *street) coordinatorDir() string           { return filepath.Join(s.dir, "coordinator") }
func (s *street) gatewayDir(gw string) string      { return filepath.Join(s.dir, gw) }
func (s *street) siteFile(gw string) string        { return filepath.Join(s.dir, "site-"+gw+".yaml") }
func (s *street) hasBattery(i int) bool            { return i%batteryEvery == 0 && !s.batteryless }
func (s *street) units(i int) (meter, pv, bat int) { n := i/3*3 + 1; return n, n + 1, n + 2 }

func newStreet(t *testing.T, rec *citylearn.Recording, database, http, grpc, gateways string) *street {
	t.Helper()
	s := &street{dir: t.TempDir(), database: database, homeI: map[string]int{}}
	for i, b := range rec.Buildings {
		s.homes = append(s.homes, b.ID)
		s.homeI[id(b.ID)] = i
	}
	s.listeners = [3]string{http, grpc, gateways}
	for g := range 3 {
		s.writeSite(t, fmt.Sprintf("gw-%d", g+1))
	}
	return s
}

// writeCoordinator replaces what init wrote by the street's own.
func (s *street) writeCoordinator(t *testing.T) {
	t.Helper()
	s.writeCommunity(t)
	write(t, filepath.Join(s.coordinatorDir(), "allmende.yaml"), `
http: {listen: %q}
grpc: {listen: %q}
gateways: {listen: %q}
live: {tick: 1m, stale_after: 3m, setpoint_ttl: 3m}
database: %q
`, s.listeners[0], s.listeners[1], s.listeners[2], s.database)
	charter, err := os.ReadFile("../../charters/equal-shares.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.coordinatorDir(), "charter.yaml"), "%s", charter)
}

func (s *street) writeCommunity(t *testing.T) {
	var f strings.Builder
	f.WriteString("id: fontana\nname: Fontana\ntimezone: UTC\nmembers:\n")
	for _, h := range s.homes {
		fmt.Fprintf(&f, "  - {id: %s, name: %s}\n", id(h), h)
	}
	f.WriteString("connections:\n  - {id: street, kind: public_grid}\nsites:\n")
	for _, h := range s.homes {
		fmt.Fprintf(&f, "  - {id: %[1]s, member: %[1]s, connection: street}\n", id(h))
	}
	f.WriteString("assets:\n")
	for i, h := range s.homes {
		for _, kind := range []string{"meter", "inverter"} {
			fmt.Fprintf(&f, "  - {id: %[1]s-%[2]s, kind: %[2]s, site: %[1]s, owner: %[1]s, gateway: %[3]s}\n", id(h), kind, gatewayOf(i))
		}
		if s.hasBattery(i) {
			fmt.Fprintf(&f, "  - {id: %[1]s-battery, kind: battery, site: %[1]s, owner: %[1]s, gateway: %[2]s, battery: {capacity_kwh: 6.4, max_charge_w: 5000, max_discharge_w: 5000, min_soc_percent: 5, reserve_soc_percent: 10, charge_efficiency_percent: 95, discharge_efficiency_percent: 95, placement: own_meter, dispatchable: true}}\n", id(h), gatewayOf(i))
		}
	}
	f.WriteString("gateways:\n  - {id: gw-1, name: one}\n  - {id: gw-2, name: two}\n  - {id: gw-3, name: three}\n")
	write(t, filepath.Join(s.coordinatorDir(), "community.yaml"), "%s", f.String())
}

func (s *street) writeSite(t *testing.T, gw string) {
	dir, err := filepath.Abs(recordedHomes)
	if err != nil {
		t.Fatal(err)
	}
	var houses, devices strings.Builder
	for i, h := range s.homes {
		if gatewayOf(i) != gw {
			continue
		}
		fmt.Fprintf(&houses, "  - {house: %s, profile: {format: citylearn, dir: %q, building: %s, start_hour: %d, start: %s}}\n", id(h), dir, h, startHour, dayOne)
		m, pv, bat := s.units(i)
		fmt.Fprintf(&devices, "      - {asset: %[1]s-meter, unit: %[2]d, kind: meter, house: %[1]s}\n", id(h), m)
		fmt.Fprintf(&devices, "      - {asset: %[1]s-inverter, unit: %[2]d, kind: inverter, house: %[1]s}\n", id(h), pv)
		if s.hasBattery(i) {
			fmt.Fprintf(&devices, "      - {asset: %[1]s-battery, unit: %[2]d, kind: battery, house: %[1]s, battery: {capacity_kwh: 6.4, max_charge_w: 5000, max_discharge_w: 5000, min_soc_percent: 5, start_soc_percent: 30, charge_efficiency_percent: 95, discharge_efficiency_percent: 95, placement: own_meter}}\n", id(h), bat)
		}
	}
	write(t, s.siteFile(gw), "site: %s\nstep: 1m\nhouses:\n%slisteners:\n  - address: 127.0.0.1:0\n    devices:\n%s", gw, houses.String(), devices.String())
}

// recorded is what a home used and made in a quarter-hour of the recording.
func recorded(b *citylearn.Building, iv energy.Interval, start energy.Instant) (load, sun energy.Energy) {
	hour := startHour + int(iv.Start.Sub(start)/energy.Hour)
	return b.Load[hour] / 4, b.Sun[hour] / 4
}
