// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/gateway/modbus"
)

// A device that takes one connection is read and steered by two clients at once,
// within what the flags allow.
func TestProxy(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var out, errs screen
	done := make(chan int, 1)
	args := []string{
		"gateway", "proxy", servedDump(t, "testdata/sim-battery.jsonl"), "--listen", "127.0.0.1:0", "--unit", "3", "--unit", "4",
		"--allow-writes", "40000-40001", "--allow-writes", "coil:7", "--timeout", "300ms", "--json",
	}
	go func() { done <- run(ctx, args, &output{In: strings.NewReader(""), Out: &out, Err: &errs}) }()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 {
			t.Errorf("proxy ended with %d: %s", code, errs.text())
		}
	})
	url := "tcp://" + out.find(t, `"listen": "([^"]+)"`)
	if p := probed(t, url, "3"); p.Device.Model == "" {
		t.Errorf("through the proxy: %+v", p.Device)
	}
	first, err := openLine(t.Context(), modbus.Config{URL: url, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer first.close()
	second, err := openLine(t.Context(), modbus.Config{URL: url, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	for range 5 {
		for _, l := range []*line{first, second} {
			if got, err := l.ReadHolding(t.Context(), 3, 40000, 2); err != nil || got[0] != 0x5375 || got[1] != 0x6e53 {
				t.Fatalf("the marker: %x, %v", got, err)
			}
		}
	}
	for name, c := range map[string]struct {
		err  error
		want uint8
	}{
		"a register that was not named": {first.WriteRegister(t.Context(), 3, 40002, 1), modbus.IllegalDataAddress},
		"a unit that was not named":     {first.WriteRegister(t.Context(), 5, 40000, 1), modbus.PathUnavailable},
	} {
		var refused modbus.ErrException
		if !errors.As(c.err, &refused) || refused.Code != c.want {
			t.Errorf("%s: %v, want exception %d", name, c.err, c.want)
		}
	}
}

func TestProxyRefusals(t *testing.T) {
	for args, want := range map[string]string{
		"modbus://h:1":                         "rtu:///dev/ttyUSB0",
		"tcp://h:1 --listen 1502":              ":1502",
		"tcp://h:1 --allow-writes input:5":     "40236-40240",
		"tcp://h:1 --max-clients 999":          "at most 256",
		"tcp://h:1 --cache 1h":                 "at most 1m",
		"rtu:///dev/ttyUSB0?baud=7":            "choose one of",
		"tcp://h:1 --connect-delay 1h --json":  "connect delay",
		"tcp://h:1 --listen 203.0.113.1:1502 ": "listening on",
	} {
		if said := runFails(t, append([]string{"gateway", "proxy"}, strings.Fields(args)...)...); !strings.Contains(said, want) {
			t.Errorf("%s: %s", args, said)
		}
	}
}
