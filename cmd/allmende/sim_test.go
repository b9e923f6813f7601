// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/gateway/sunspec"
)

func simSite(t *testing.T, change ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yaml")
	src := strings.NewReplacer(append(change, ":5020 ", ":0 ")...).Replace(sim.Example)
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSimServesWhatItSays(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said, say := io.Pipe()
	ended := make(chan int, 1)
	state := filepath.Join(t.TempDir(), "state.json")
	go func() {
		code := run(ctx, []string{"sim", "--site", simSite(t), "--speed", "60", "--state", state, "--print-points"}, &output{Out: say, Err: io.Discard})
		say.Close()
		ended <- code
	}()
	var addr, points string
	lines := bufio.NewScanner(said)
	for lines.Scan() && points == "" {
		fields := strings.Fields(lines.Text())
		if len(fields) == 5 && fields[3] == "home-1-battery" {
			addr = fields[0]
		}
		if len(fields) == 5 && fields[2] == "WChaMax" { // a point of the battery
			points = strings.Join(fields, " ")
		}
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	if points != "124 40281 WChaMax 5000.0 W" {
		t.Errorf("the points say %q", points)
	}
	bus := modbus.NewBus(modbus.Config{URL: "tcp://" + addr})
	stopped := make(chan error, 1)
	go func() { stopped <- bus.Run(ctx) }()
	device, err := sunspec.Open(ctx, bus, 3)
	if err != nil || device.Identity().Serial != "sim-home-1-battery" {
		t.Errorf("at %s: %v", addr, err)
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("it ended with %d", code)
	}
	if _, err := os.Stat(state); err != nil {
		t.Errorf("it left no state: %v", err)
	}
}

func TestSimSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--site", simSite(t, "unit: 2,", "unit: 1,")}, "two devices on unit 1"},
		{[]string{"--site", simSite(t), "--speed", "0.5"}, "not between 1 and 3600"},
		{nil, "--example"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"sim"}, c.args...), &output{Out: &out, Err: &errs}); code == 0 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("sim %v: %d, %s", c.args, code, errs.String())
		}
	}
}

func TestSimPrintsAnExample(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"sim", "--example"}, &output{Out: &out, Err: io.Discard}); code != 0 || out.String() != sim.Example {
		t.Errorf("%d, %s", code, out.String())
	}
}
