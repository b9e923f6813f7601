// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/allmende-energy/allmende/gateway/modbus"
)

func isException(err error, code uint8) bool {
	var refused modbus.ErrException
	return errors.As(err, &refused) && refused.Code == code
}

func TestExampleIsWhatItSays(t *testing.T) {
	site, err := DecodeSite("example.yaml", []byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	b := site.Listeners[0].Devices[2].Battery
	if site.ID != "lindenweg" || len(site.Houses) != 2 || site.Step != 1000 || b == nil ||
		b.Capacity != 9_600_000 || b.MinSoC != 50 || b.MaxSoC != 1000 || b.StartSoC != 500 || b.ChargeEff != 950_000 {
		t.Errorf("%+v with battery %+v", site, b)
	}
}

// Each mistake is an error that names line and field, and both lines where two
// fields are at odds.
func TestMistakesInASite(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"unit: 2,", "unit: 1,", "x.yaml:26: listeners[0].devices[1].unit: two devices on unit 1 of 127.0.0.1:5020: only one could answer; give each its own number (the first is in line 25)"},
		{"seed: 7", "sed: 7", "x.yaml:5: sed: unknown field (did you mean seed?)"},
		{"unit: 2,", "unit: 256,", "x.yaml:26: "},
		{"unit: 2,", "unit: 0,", "x.yaml:26: listeners[0].devices[1].unit: 0 is not between 1 and 247"},
		{"step: 1s", "step: 1", "x.yaml:6: step: span \"1\": write it as"},
		{"step: 1s", "step: 1ms", "x.yaml:6: step: 1ms is not between"},
		{"latitude: 48.21", "latitude: 91", "x.yaml:3: latitude: 91 is not between"},
		{"latitude: 48.21        #", "#", "x.yaml:11: houses[0].pv: the sun needs"},
		{"house: home-2 ", "house: home-1 ", "x.yaml:12: houses[1].house: house home-1 is there twice (the first is in line 9)"},
		{"kwh_per_year: 3500", "kwh_per_year: many", "x.yaml:10: houses[0].load.kwh_per_year: energy \"many\" in kWh"},
		{"peak_w: 6000", "peak_w: -1", "x.yaml:11: houses[0].pv.peak_w: -1 W is not between"},
		{"kind: inverter", "kind: toaster", "x.yaml:25: listeners[0].devices[0].kind: \"toaster\" is none of"},
		{"house: home-2}", "house: home-9}", "there is no house \"home-9\""},
		{"asset: home-2-meter", "asset: home-1-pv", "asset home-1-pv is there twice (the first is in line 25)"},
		{"kind: meter, house: home-2}", "kind: meter, house: home-1}", "house home-1 has two devices of kind meter"},
		{"capacity_kwh: 9.6", "capacity_kwh: 0", "listeners[0].devices[2].battery.capacity_kwh: 0.000000 is not above 0"},
		{"max_soc_percent: 100", "max_soc_percent: 5", "min_soc_percent: it must be"},
		{"start_soc_percent: 50", "start_soc_percent: 4", "start_soc_percent: it must lie"},
		{"charge_efficiency_percent: 95", "charge_efficiency_percent: 950", "charge_efficiency_percent: it must lie"},
		{"placement: behind_meter", "placement: garden", "\"garden\" is neither"},
		{"base: 40000", "base: 1", "base: 1 is none of"},
		{"energy_scale: -1", "energy_scale: 1", "energy_scale: 1 is not between"},
		{"sums: [home-1, home-2]", "sums: [home-1, home-1]", "house home-1 is there twice"},
		{"sums: [home-1, home-2]", "house: home-1, sums: [home-1]", "delete house or sums"},
		{"127.0.0.1:5020 ", "localhost ", "\"localhost\" is no address"},
		{"    devices:", "    faults: [{do: {}}]\n    devices:", "x.yaml:24: listeners[0].faults[0].do: nothing happens"},
		{"    devices:", "    clients: 65\n    devices:", "x.yaml:24: listeners[0].clients: 65 is not between 1 and 64"},
		{"    devices:", "    kick: true\n    devices:", "x.yaml:24: listeners[0].kick: it needs clients"},
		{"base: 40000  ", "faults: [{when: {unit: 1}, do: {silence: true}}]\n        base: 40000  ", "x.yaml:31: listeners[0].devices[2].faults[0].when.unit: a device's own faults concern its unit only"},
		{"base: 40000  ", "faults: [{do: {cut: -1}}]\n        base: 40000  ", "x.yaml:31: listeners[0].devices[2].faults[0].do.cut: -1 bytes"},
		{"base: 40000  ", "quirks: {at_night: silent}\n        base: 40000  ", "x.yaml:31: listeners[0].devices[2].quirks.at_night: only an inverter sleeps"},
		{"kind: inverter, house: home-1}", "kind: inverter, house: home-1, quirks: {at_night: dead}}", "\"dead\" is none of silent"},
		{"kind: inverter, house: home-1}", "kind: inverter, house: home-1, quirks: {flips_sign: true}}", "say when, in new_firmware_after"},
		{"kind: inverter, house: home-1}", "kind: inverter, house: home-1, quirks: {dead_time: 2h}}", "dead_time: 2h0m0s is not between"},
		{"kind: inverter, house: home-1}", "kind: inverter, house: home-1, control: 124}", "control: 124 is no model that a device of kind inverter is told with"},
		{"kind: meter, house: home-2}", "kind: charger, house: home-2}", "a charger does not speak SunSpec: name a profile"},
		{"kind: meter, house: home-2}", "kind: charger, house: home-2, profile: x, load: {wants_w: 0}}", "load.wants_w: 0 W is not above 0"},
		{"kind: meter, house: home-2}", "kind: contact, profile: x, limited: [{from: 2h, until: 1h}]}", "limited[0]: a period begins at 0"},
		{"unit: 4, kind: meter, house: home-2}", "unit: 1, kind: meter, house: home-2, profile: x}", "two devices on unit 1"},
		{"127.0.0.1:5020 ", "\"rtu:///dev/x?baud=fast\" ", "baud=fast is no number"},
		{"site: lindenweg", "site: Linden Weg", "x.yaml:2: site: \"Linden Weg\" is no id"},
		{"site: lindenweg", "site: &a lindenweg", "anchors"},
		{"site: lindenweg", "site: [lindenweg", "x.yaml:"},
		{"house: home-1      #", "house: home-1\n    profile: {format: csv, dir: x, building: ../y}\n    #", "a recorded house has no load and pv"},
		{Example, "", "empty"},
		{Example, strings.Repeat("[", 50_000), "nested too deep"},
		{Example, strings.Repeat("#", 1<<20+1), "larger than"},
	} {
		src := strings.Replace(Example, c.old, c.new, 1)
		if src == Example {
			t.Fatalf("%q is not in the example", c.old)
		}
		_, err := DecodeSite("x.yaml", []byte(src))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q for %.60q:\n%v\nwant %s", c.new, c.old, err, c.want)
		}
	}
}

func TestLoadSite(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadSite(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	path := filepath.Join(dir, "site.yaml")
	src := strings.ReplaceAll(Example, "\n# - house: home-3      # follows a recording instead\n#   profile:\n#     format: citylearn\n#     dir:",
		"\n  - house: home-3\n    profile:\n      format: citylearn\n      building: Building_1\n      dir:")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	site, err := LoadSite(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := site.Houses[2].Profile.Dir, filepath.Join(dir, "citylearn-2022"); got != want {
		t.Errorf("the profile lies in %s, want %s", got, want)
	}
	if _, err := New(site, newHandClock(t, "2026-06-01T00:00:00Z"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a recording that is not there: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	clock := newHandClock(t, "2026-06-01T00:00:00Z")
	w, _ := start(t, example(t), clock, Options{})
	second := example(t)
	second.Listeners[0].Address = w.Addrs()[0]
	_, err := New(second, clock, Options{})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "another program uses this port") {
		t.Errorf("a port in use: %v", err)
	}
}

func FuzzDecodeSite(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("site: a\nhouses: [{house: b}]\nlisteners: [{address: ':1', devices: [{asset: c, unit: 1, kind: meter, house: b}]}]\n"))
	f.Add([]byte("? [a]\n: {b: *c}\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		site, err := DecodeSite("f", src)
		if err == nil && site.Validate() != nil {
			t.Errorf("decoded, but not valid: %v", site.Validate())
		}
	})
}
