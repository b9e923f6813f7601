// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway/device"
)

// servedDump runs serve-dump until the test ends.
func servedDump(t *testing.T, file string, args ...string) (url string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var out, errs screen
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"gateway", "serve-dump", file, "--listen", "127.0.0.1:0", "--json"}, args...), &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 {
			t.Errorf("serve-dump ended with %d: %s", code, errs.text())
		}
	})
	return out.find(t, `"url": "([^"]+)"`)
}

func probed(t *testing.T, url string, unit string, args ...string) device.Probed {
	t.Helper()
	var p device.Probed
	if err := json.Unmarshal([]byte(runOK(t, append([]string{"gateway", "probe", url, "--unit", unit, "--json"}, args...)...)), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func value(p device.Probed, model uint16, name string) string {
	for _, q := range p.Points {
		if q.Model == model && q.Name == name {
			return q.Value
		}
	}
	return ""
}

// A dump is the device once more: whoever probes it sees the same points at the
// same addresses.
func TestADumpIsTheDevice(t *testing.T) {
	url := simulated(t)
	file := filepath.Join(t.TempDir(), "battery.jsonl")
	code, out, errs := command(t, false, "", "gateway", "dump", url, "--unit", "3", "--out", file)
	if code != 0 || out != "" || !strings.Contains(errs, "serve-dump "+file) {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	was, is := probed(t, url, "3"), probed(t, servedDump(t, file), "3")
	if was.Device != is.Device || len(was.Points) != len(is.Points) || *was.Base != *is.Base {
		t.Fatalf("%+v\n%+v", was.Device, is.Device)
	}
	for i, p := range was.Points {
		q := is.Points[i]
		if p.Name != q.Name || p.Address != q.Address || p.Quality != q.Quality || p.Unit != q.Unit {
			t.Errorf("%+v became %+v", p, q)
		}
	}
	if text := runOK(t, "gateway", "dump", url, "--unit", "3", "--anonymous"); strings.Contains(text, "127.0.0.1") || !strings.HasPrefix(text, `{"allmende_dump":1,"url":"masked"`) {
		t.Errorf("%.200s", text)
	} else if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if serial := probed(t, servedDump(t, file), "3").Device.Serial; strings.Trim(serial, "X") != "" || serial == "" {
		t.Errorf("the serial number of an anonymous dump is %q", serial)
	}
}

// What a user sent as a dump stays a test: this one was taken from the
// simulator's battery at rest, by
//
//	allmende gateway dump tcp://127.0.0.1:5020 --unit 3 --anonymous --out cmd/allmende/testdata/sim-battery.jsonl
func TestDumpOfABattery(t *testing.T) {
	p := probed(t, servedDump(t, "testdata/sim-battery.jsonl"), "3")
	for _, want := range []struct {
		model       uint16
		name, value string
	}{
		{1, "Md", "Simulated battery"}, {124, "WChaMax", "5000.0"}, {713, "WHRtg", "9600"}, {713, "SoC", "50.0"}, {701, "Hz", "50.00"}, {701, "LNV", "230.0"},
	} {
		if got := value(p, want.model, want.name); got != want.value {
			t.Errorf("%s of model %d is %q, want %q", want.name, want.model, got, want.value)
		}
	}
}

// A device without SunSpec is dumped by ranges, holes included; and a served
// dump can be made to misbehave.
func TestDumpOfRanges(t *testing.T) {
	url := servedDump(t, "testdata/sim-battery.jsonl")
	text := runOK(t, "gateway", "dump", url, "--unit", "3", "--ranges", "holding:39990-40003,coil:0+16")
	if !strings.Contains(text, `{"unit":3,"table":"holding","address":39990,"count":10,"exception":2}`) ||
		!strings.Contains(text, `"address":40000,"values":[21365,28243,1,66]`) || !strings.Contains(text, `{"unit":3,"table":"coil","address":0,"count":16,"exception":2}`) {
		t.Error(text)
	}
	faults := filepath.Join(t.TempDir(), "faults.yaml")
	if err := os.WriteFile(faults, []byte("faults:\n  - {do: {exception: 6}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := runFails(t, "gateway", "probe", servedDump(t, "testdata/sim-battery.jsonl", "--faults", faults), "--unit", "3"); !strings.Contains(said, "another client") {
		t.Error(said)
	}
}

func TestDumpSaysWhatIsWrong(t *testing.T) {
	for name, c := range trouble(t) {
		file := filepath.Join(t.TempDir(), "dump.jsonl")
		code, out, errs := command(t, false, "", "gateway", "dump", c.url, "--unit", "1", "--timeout", "300ms", "--out", file)
		if code != 1 || out != "" || name != "no SunSpec" && !strings.Contains(errs, c.want) {
			t.Errorf("%s: ended with %d, printed %q, said %s; want %q", name, code, out, errs, c.want)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s: an empty file was left", name)
		}
	}
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"dump tcp://127.0.0.1:1 --unit 1 --ranges holding:1-0", "the first comes before the last"},
		{"dump tcp://127.0.0.1:1 --unit 1 --block 126", "1 to 125"},
		{"dump " + modbusDevice(t, blank{}) + " --unit 1 --ranges 0+10 --anonymous", "--serial"},
		{"serve-dump " + bad, "this is no register image"},
		{"serve-dump testdata/sim-battery.jsonl --listen nonsense", "host:port"},
	} {
		code, out, errs := command(t, false, "", append([]string{"gateway"}, strings.Fields(c.args)...)...)
		if code == 0 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: %d, printed %q, said %s; want %q", c.args, code, out, errs, c.want)
		}
	}
}
