// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/sim"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// simulated is a running site, and where its only listener is.
func simulated(t *testing.T, change ...string) (url string) {
	t.Helper()
	site, err := sim.DecodeSite("site.yaml", []byte(strings.NewReplacer(append(change, ":5020 ", ":0 ")...).Replace(sim.Example)))
	if err != nil {
		t.Fatal(err)
	}
	world, err := sim.New(site, worldtime.NewReal(), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- world.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "tcp://" + world.Addrs()[0]
}

func TestProbePrintsWhatTheInterfaceSays(t *testing.T) {
	url := simulated(t)
	var got struct {
		URL     string
		Unit    uint8
		Base    *uint16
		Profile string
		Device  map[string]string
		Models  []struct{ ID, Address, Length uint16 }
		Points  []map[string]any
	}
	if err := json.Unmarshal([]byte(runOK(t, "gateway", "probe", url, "--unit", "3", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.URL != url || got.Unit != 3 || got.Base == nil || *got.Base != 40000 || got.Profile != "sunspec" || got.Device["serial"] != "sim-home-1-battery" {
		t.Errorf("%+v", got)
	}
	if len(got.Models) < 6 || got.Models[0].ID != 1 || got.Models[0].Address != 40002 || got.Models[0].Length != 66 {
		t.Errorf("models %+v", got.Models)
	}
	good, absent := false, 0
	for _, p := range got.Points {
		switch {
		case p["name"] == "WChaMax":
			good = p["value"] == "5000.0" && p["unit"] == "W" && p["quality"] == "good" && p["model"] == 124.0
		case p["quality"] == "not implemented":
			absent++
			if v, there := p["value"]; there {
				t.Errorf("%s is not implemented, and has value %v", p["name"], v)
			}
		}
	}
	if !good || absent == 0 {
		t.Errorf("WChaMax %t, not implemented %d", good, absent)
	}
}

func TestProbeForPeople(t *testing.T) {
	url := simulated(t)
	text := runOK(t, "gateway", "probe", url, "--unit", "3")
	for _, want := range []string{"battery", "Simulated battery", "sim-home-1-battery", "models        from register 40000 on: 1 701", "5000.0"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	raw := runOK(t, "gateway", "probe", url, "--unit", "3", "--registers", "holding:40000+4", "--registers", "input:0-1")
	for _, want := range []string{"holding  40000    5375  21365", "input    0-1      refused with exception"} {
		if !strings.Contains(raw, want) {
			t.Errorf("%q is missing in\n%s", want, raw)
		}
	}
}

// refuser answers each request with an exception.
type refuser struct{ code uint8 }

func (r refuser) ReadHolding(uint8, uint16, uint16) ([]uint16, error) {
	return nil, modbus.ErrException{Code: r.code}
}
func (r refuser) WriteRegisters(uint8, uint16, []uint16) error {
	return modbus.ErrException{Code: r.code}
}

// blank is a device of registers that all say 7: Modbus, but nothing known.
type blank struct{}

func (blank) ReadHolding(_ uint8, _, n uint16) ([]uint16, error) {
	out := make([]uint16, n)
	for i := range out {
		out[i] = 7
	}
	return out, nil
}
func (blank) WriteRegisters(uint8, uint16, []uint16) error {
	return modbus.ErrException{Code: modbus.IllegalFunction}
}

func modbusDevice(t *testing.T, h modbus.Handler) (url string) {
	t.Helper()
	s, err := modbus.Listen("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return "tcp://" + s.Addr()
}

// greeter is a TCP server that says something to whoever comes, or nothing.
func greeter(t *testing.T, words string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, words)
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return "tcp://" + l.Addr().String()
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "tcp://" + l.Addr().String()
}

// trouble are the ways in which a place is not the device that somebody expects,
// with what a command has to say.
func trouble(t *testing.T) map[string]struct{ url, want string } {
	t.Helper()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	return map[string]struct{ url, want string }{
		"a web server":      {"tcp://" + strings.TrimPrefix(web.URL, "http://"), "a web server answers there"},
		"an SSH server":     {greeter(t, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "an SSH server answers there"},
		"silence":           {greeter(t, ""), "unit 1 never answers"},
		"a closed port":     {closedPort(t), "nothing listens at this port"},
		"no such function":  {modbusDevice(t, refuser{modbus.IllegalFunction}), "refuses to be read"},
		"no such address":   {modbusDevice(t, refuser{modbus.IllegalDataAddress}), "none of the registers"},
		"busy":              {modbusDevice(t, refuser{modbus.DeviceBusy}), "another client"},
		"no unit behind it": {modbusDevice(t, refuser{modbus.TargetSilent}), "no device behind it has this unit id"},
		"no SunSpec":        {modbusDevice(t, blank{}), "profile"},
	}
}

// Whatever is not the device that was meant: a message with the next step, and
// never a value.
func TestProbeOfSomethingElse(t *testing.T) {
	for name, c := range trouble(t) {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(t, false, "", "gateway", "probe", c.url, "--unit", "1", "--timeout", "300ms", "--json")
			if code != 1 || out != "" || !strings.Contains(errs, c.want) {
				t.Errorf("ended with %d, printed %q, said %s; want %q", code, out, errs, c.want)
			}
		})
	}
	for _, c := range []struct{ args, want string }{
		{"127.0.0.1:502 --unit 1", "tcp://"},
		{"tcp://127.0.0.1:502", "--unit"},
		{"tcp://127.0.0.1:502 --unit 300", "300"},
		{simulated(t) + " --unit 3 --profile nonsense", `"nonsense"`},
		{"tcp://127.0.0.1:502 --unit 1 --registers outputs:1+2", "holding:40000+125"},
	} {
		code, out, errs := command(t, false, "", append([]string{"gateway", "probe"}, strings.Fields(c.args)...)...)
		if code == 0 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("probe %s: %d, printed %q, said %s; want %q", c.args, code, out, errs, c.want)
		}
	}
}
