// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
)

func TestWatchOnce(t *testing.T) {
	url := simulated(t)
	text := runOK(t, "gateway", "watch", "--dir", edgeOf(t, url), "--once")
	for _, want := range []string{"POWER", "home-1-meter", "battery", "50.0", "itself"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("it moves the cursor where there is no terminal")
	}
	var v watchView
	if err := json.Unmarshal([]byte(runOK(t, "gateway", "watch", url, "--unit", "3", "--once", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Unit != 3 || v.SoC == nil || *v.SoC != 500 || v.Power == nil || v.Quality != energy.Good || v.InForce != nil || v.Device.Serial != "sim-home-1-battery" {
		t.Errorf("%+v", v)
	}
}

// A setpoint that another client has put in force is shown.
func TestWatchShowsWhatIsInForce(t *testing.T) {
	url := simulated(t)
	l, err := openLine(t.Context(), modbus.Config{URL: url, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	d, err := profileFlags{}.device(t.Context(), l, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), device.Command{Quantity: device.BatteryPower, Value: 1_500_000, Reversion: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if text := runOK(t, "gateway", "watch", url, "--unit", "3", "--once"); !strings.Contains(text, "battery_power 1500") {
		t.Error(text)
	}
}

// What does not answer is said, and is never a value.
func TestWatchOfSomethingElse(t *testing.T) {
	for name, c := range trouble(t) {
		code, out, _ := command(t, false, "", "gateway", "watch", c.url, "--unit", "1", "--timeout", "300ms", "--once", "--json")
		var v watchView
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != 1 || v.Problem == "" || v.Power != nil || v.SoC != nil || len(v.Registers) != 0 || v.Quality == energy.Good {
			t.Errorf("%s: ended with %d, %v, %s", name, code, err, out)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"tcp://127.0.0.1:1", "--unit N"},
		{"--dir " + t.TempDir(), "gateway.yaml"},
		{"tcp://127.0.0.1:1 --unit 1 --every 1ms", "100ms to 1h"},
	} {
		if _, out, errs := command(t, false, "", append([]string{"gateway", "watch"}, strings.Fields(c.args)...)...); out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("watch %s: printed %q, said %s; want %q", c.args, out, errs, c.want)
		}
	}
}

// Ctrl-C ends it, and a device that has gone keeps its last values, as stale.
func TestWatchGoesOn(t *testing.T) {
	url := servedDump(t, "testdata/sim-battery.jsonl")
	ctx, stop := context.WithCancel(t.Context())
	var out, errs screen
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"gateway", "watch", url, "--unit", "3", "--every", "100ms", "--json"}, &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	out.find(t, `(?s)(\{.*\n.*\n.*\n)`)
	stop()
	if code := <-done; code != 0 {
		t.Errorf("ended with %d: %s", code, errs.text())
	}
	for line := range strings.Lines(out.text()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not one object a line: %s", line)
		}
	}
	d := &watchedDevice{url: url, unit: 3, at: time.Now().Add(-time.Minute), problem: "no answer in time", last: device.Snapshot{Quality: energy.Good, Power: energy.Kilowatt, SoC: 500}}
	if v := d.view(); v.Quality != energy.Stale || *v.AgeMS < 60_000 {
		t.Errorf("%+v", v)
	}
}

// The second drawing goes over the first, line by line.
func TestTableIsDrawnOverItself(t *testing.T) {
	var out strings.Builder
	screen := table{out: &out}
	screen.draw("one\ntwo\n")
	screen.draw("three\n")
	screen.end()
	if want := "\x1b[?25lone\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[?25l\x1b[2A\rthree\x1b[K\n\x1b[J\x1b[?25h"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
