// SPDX-License-Identifier: AGPL-3.0-or-later

package endtoend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/freeport"
	"github.com/allmende-energy/allmende/internal/worldtime"
	"github.com/allmende-energy/allmende/meters/citylearn"
)

// TestSeventeenHomes lives through three recorded days of 17 real houses with
// everything real but the devices: Modbus sockets, three gateways, mutual TLS,
// a database, each a process of its own. In the middle a gateway is killed within a
// quarter-hour, another across one, and the coordinator for most of an hour.
// Then the ledger must say what the recording says.
//
// The world is stepped: a minute passes when everybody is done with the last
// one. How fast the machine is changes how long the test takes, nothing else.
//
// It is lived through on either engine, and nothing but the database differs.
func TestSeventeenHomes(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		seventeenHomes(t, "")
	})
	t.Run("postgres", func(t *testing.T) {
		needsHomes(t)
		database := server.Database(t)
		t.Parallel()
		seventeenHomes(t, database)
	})
}

// needsHomes skips a test of days that take a minute or two.
func needsHomes(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(recordedHomes); err != nil {
		t.Skip("the recorded homes are not here: put them at ../shared/data/citylearn-2022 beside the checkout")
	}
	if testing.Short() {
		t.Skip("three days of 17 homes take a minute or two; run without -short")
	}
}

// seventeenHomes is the test, on a database of a server or, if none is named, in a file.
func seventeenHomes(t *testing.T, database string) {
	needsHomes(t)
	rec, err := citylearn.Read(os.DirFS(recordedHomes))
	if err != nil {
		t.Fatal(err)
	}
	n := newNeighbourhood(t, rec, plain, database)
	n.found()
	for _, gw := range gateways {
		n.sims[gw] = start(t, "sim "+gw, n.bin, "sim", "--site", n.siteFile(gw), "--world", n.world.addr)
		n.writeGateway(gw)
		n.startGateway(gw)
	}
	n.awaitGateways(gateways...)

	// A gateway is killed within a quarter-hour and comes back before its end.
	n.until("12:20")
	n.gateways["gw-1"].kill()
	n.until("12:26")
	n.startGateway("gw-1")
	n.awaitGateways("gw-1")

	// The coordinator is killed. The gateways keep what they measure.
	n.until("15:50")
	n.coordinator.kill()
	n.until("16:35")
	n.startCoordinator()
	n.awaitGateways(gateways...)

	// A gateway is killed across the end of a quarter-hour, on the second day.
	n.until("34:25")
	n.gateways["gw-2"].kill()
	n.until("34:35")
	n.startGateway("gw-2")
	n.awaitGateways("gw-2")

	n.until(fmt.Sprintf("%d:00", 24*days))
	n.untilSettled()
	for _, gw := range gateways {
		n.gateways[gw].interrupt()
	}
	n.coordinator.interrupt()
	n.check(rec)
}

var gateways = []string{"gw-1", "gw-2", "gw-3"}

// neighbourhood is the street with its processes and its clock.
type neighbourhood struct {
	*street
	t     *testing.T
	bin   string
	start energy.Instant
	http  string
	tls   string
	world struct {
		clock    *worldtime.Stepped
		director worldtime.Participant // the test: the world stands while it acts
		addr     string
	}
	coordinator *process
	gateways    map[string]*process
	sims        map[string]*process
	failures    []string // the first of them, which are said again at the very end
}

// wrong fails the test. It says the first few faults only: a log is cut, and the
// hundreds that follow from one say nothing.
func (n *neighbourhood) wrong(format string, args ...any) {
	n.t.Helper()
	const most = 10
	switch {
	case len(n.failures) < most:
		n.failures = append(n.failures, fmt.Sprintf(format, args...))
		n.t.Error(n.failures[len(n.failures)-1])
	case len(n.failures) == most:
		n.failures = append(n.failures, "and more")
	}
}

// sayAgain is the last word of a test that failed.
func (n *neighbourhood) sayAgain() {
	if len(n.failures) > 0 {
		n.t.Logf("what was wrong:\n%s", strings.Join(n.failures, "\n"))
	}
}

func newNeighbourhood(t *testing.T, rec *citylearn.Recording, bin func() (string, error), database string) *neighbourhood {
	n := &neighbourhood{t: t, bin: build(t, bin), gateways: map[string]*process{}, sims: map[string]*process{}}
	t.Cleanup(n.sayAgain)
	if err := n.start.UnmarshalText([]byte(dayOne)); err != nil {
		t.Fatal(err)
	}
	n.world.clock = worldtime.NewStepped(n.start, 0, 0)
	n.world.director = n.world.clock.Join("director")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.world.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		worldtime.Serve(ctx, n.world.clock, l) //nolint:errcheck // it ends with ctx
	}()
	t.Cleanup(func() { cancel(); <-served })
	n.http, n.tls = freeport.Address(t), freeport.Address(t)
	n.street = newStreet(t, rec, database, n.http, freeport.Address(t), n.tls)
	return n
}

// found makes the community and starts its coordinator.
func (n *neighbourhood) found() {
	run(n.t, n.bin, "init", n.coordinatorDir(), "--name", "Fontana", "--id", "fontana", "--timezone", "UTC", "--yes")
	n.writeCoordinator(n.t)
	n.startCoordinator()
}

func (n *neighbourhood) startCoordinator() {
	n.coordinator = start(n.t, "coordinator", n.bin, "serve", "--dir", n.coordinatorDir(), "--world", n.world.addr)
	n.coordinator.says(`page and REST`)
}

// writeGateway enrols a gateway and writes its configuration.
func (n *neighbourhood) writeGateway(gw string) {
	token := strings.TrimSpace(string(run(n.t, n.bin, "gateway", "token", gw, "--dir", n.coordinatorDir())))
	if fields := strings.Fields(token); len(fields) > 1 {
		for _, f := range fields {
			if strings.HasPrefix(f, "alm1.") {
				token = f
			}
		}
	}
	run(n.t, n.bin, "gateway", "enrol", token, "--dir", n.gatewayDir(gw))
	addr := n.sims[gw].says(`(127\.0\.0\.1:\d+)`)[0][1]
	var devices strings.Builder
	for i, h := range n.homes {
		if gatewayOf(i) != gw {
			continue
		}
		m, pv, bat := n.units(i)
		line := "  - {asset: %s-%s, url: \"tcp://%s\", unit: %d}\n"
		fmt.Fprintf(&devices, line, id(h), "meter", addr, m)
		fmt.Fprintf(&devices, line, id(h), "inverter", addr, pv)
		if n.hasBattery(i) {
			fmt.Fprintf(&devices, line, id(h), "battery", addr, bat)
		}
	}
	write(n.t, filepath.Join(n.gatewayDir(gw), "gateway.yaml"), "coordinator: %q\npoll: 1m\nmodbus: {timeout: 1m}\ndevices:\n%s", n.tls, devices.String())
}

func (n *neighbourhood) startGateway(gw string) {
	n.gateways[gw] = start(n.t, gw, n.bin, "gateway", "run", "--dir", n.gatewayDir(gw), "--world", n.world.addr)
	// From now on the world waits for it, whatever the coordinator knows of it.
	n.gateways[gw].says(`The gateway runs with`)
}

// until lets the world go on to a time after the beginning, as hours and minutes.
func (n *neighbourhood) until(hhmm string) {
	n.t.Helper()
	n.untilInstant(n.instant(hhmm))
}

// instant is a time after the beginning, as hours and minutes.
func (n *neighbourhood) instant(hhmm string) energy.Instant {
	n.t.Helper()
	var h, m int
	if _, err := fmt.Sscanf(hhmm, "%d:%d", &h, &m); err != nil {
		n.t.Fatal(err)
	}
	return n.start.Add(energy.Span(h)*energy.Hour + energy.Span(m)*energy.Minute)
}

func (n *neighbourhood) untilInstant(at energy.Instant) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	if _, err := n.world.director.WaitUntil(ctx, at); err != nil {
		n.t.Fatalf("the world stands at %v, waiting for %v: %v", n.world.clock.Now(), n.world.clock.Running(), err)
	}
}

// awaitGateways waits, in a world that stands, until gateways are connected: for
// their own word first, because the coordinator may still hold the stream of a
// process that was killed.
func (n *neighbourhood) awaitGateways(ids ...string) {
	n.t.Helper()
	for _, id := range ids {
		n.gateways[id].says(`connected to the coordinator`)
		await(n.t, "gateway "+id+" to connect", func() bool {
			var answer struct {
				Gateways []struct {
					Health struct {
						GatewayID string `json:"gatewayId"`
						Connected bool   `json:"connected"`
					} `json:"health"`
				} `json:"gateways"`
			}
			n.get("/v1/gateways", &answer)
			for _, g := range answer.Gateways {
				if g.Health.GatewayID == id {
					return g.Health.Connected
				}
			}
			return false
		})
	}
}

// untilSettled lets the world go on until all intervals are settled, complete.
func (n *neighbourhood) untilSettled() {
	n.t.Helper()
	n.untilSettledAt(fmt.Sprintf("%d:00", 24*days))
}

// untilSettledAt lets the world go on until everything before a time is settled.
func (n *neighbourhood) untilSettledAt(hhmm string) {
	n.t.Helper()
	n.untilSettledBefore(n.instant(hhmm))
}

func (n *neighbourhood) untilSettledBefore(end energy.Instant) {
	n.t.Helper()
	for at := max(end, n.world.clock.Now()); at < end.Add(energy.Day); at = at.Add(energy.Minute) {
		n.untilInstant(at)
		var live struct {
			SettledUntil int64 `json:"settledUntilUnixMs,string"`
		}
		n.get("/v1/live", &live)
		if energy.Instant(live.SettledUntil) >= end {
			return
		}
	}
	n.t.Fatalf("a day after %s, not everything before it is settled", end)
}

func (n *neighbourhood) get(path string, into any) {
	n.t.Helper()
	// A connection that was kept would be one to a coordinator that was killed since.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + n.http + path)
	if err != nil {
		n.t.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		n.t.Fatalf("%s: %s", path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		n.t.Fatalf("%s: %v", path, err)
	}
}
