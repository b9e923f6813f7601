// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/scan"
)

func scanned(t *testing.T, args ...string) scan.Result {
	t.Helper()
	var r scan.Result
	if err := json.Unmarshal([]byte(runOK(t, append([]string{"gateway", "scan", "--json"}, args...)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestScanFindsASite(t *testing.T) {
	url := simulated(t)
	r := scanned(t, url, "--units", "1-5")
	if len(r.Found) != 4 || len(r.Remarks) != 0 {
		t.Fatalf("%+v", r)
	}
	for i, want := range []string{"inverter", "meter", "battery", "meter"} {
		f := r.Found[i]
		if string(f.Kind) != want || f.URL != url || int(f.Unit) != i+1 || f.Profile != "sunspec" || f.Device.Serial == "" || len(f.Models) == 0 {
			t.Errorf("unit %d: %+v", i+1, f)
		}
	}
	text := runOK(t, "gateway", "scan", url, "--units", "3")
	if !strings.Contains(text, url+" unit 3    battery   Allmende Simulated battery") {
		t.Error(text)
	}
}

// A network of four addresses, two of which have a site on the same port.
func TestScanOfANetwork(t *testing.T) {
	url := simulated(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	r := scanned(t, "127.0.0.0/29", "--ports", port, "--units", "3")
	if len(r.Found) != 1 || r.Found[0].URL != url || r.Named != 6 || r.Asked != 6 {
		t.Errorf("%+v", r)
	}
}

// A device that answers to every unit id is one device.
func TestScanOfADeviceThatAnswersToAnything(t *testing.T) {
	r := scanned(t, modbusDevice(t, blank{}), "--units", "1-4")
	if len(r.Found) != 1 || len(r.Found[0].Also) != 3 || !strings.Contains(r.Found[0].Problem, "--profile") {
		t.Errorf("%+v", r)
	}
}

// What is no device is said, and not listed as one.
func TestScanOfSomethingElse(t *testing.T) {
	for name, c := range trouble(t) {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(t, false, "", "gateway", "scan", c.url, "--units", "1,2", "--timeout", "300ms")
			switch {
			case strings.HasPrefix(name, "a web"), strings.HasPrefix(name, "an SSH"):
				if code != 1 || out != "" || !strings.Contains(errs, c.want) {
					t.Errorf("ended with %d, printed %q, said %s", code, out, errs)
				}
			case name == "silence", name == "no unit behind it":
				if code != 1 || out != "" || !strings.Contains(errs, "--units") {
					t.Errorf("ended with %d, printed %q, said %s", code, out, errs)
				}
			case name == "a closed port":
				if code != 1 || out != "" || !strings.Contains(errs, "nothing that speaks Modbus") {
					t.Errorf("ended with %d, printed %q, said %s", code, out, errs)
				}
			default:
				if code != 0 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "--profile") {
					t.Errorf("ended with %d, printed %q, said %s", code, out, errs)
				}
			}
		})
	}
	for _, c := range []struct{ args, want string }{
		{"", "target"},
		{"10.0.0.0/8", "name a part of it"},
		{"10.0.0.0/20", "--yes"},
		{"10.0.0.0/33", "no network"},
		{"10.0.0.1 --units 0-256", "from 0 to 255"},
		{"10.0.0.1 --ports 0", "from 1 to 65535"},
		{"10.0.0.1 --parallel 1000", "1 to 64"},
	} {
		code, out, errs := command(t, false, "", append([]string{"gateway", "scan"}, strings.Fields(c.args)...)...)
		if code == 0 || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("scan %s: %d, printed %q, said %s; want %q", c.args, code, out, errs, c.want)
		}
	}
}

// stopAt ends a context when somebody asks for the unit.
type stopAt struct {
	unit uint8
	stop context.CancelFunc
}

func (s stopAt) ReadHolding(unit uint8, _, n uint16) ([]uint16, error) {
	if unit == s.unit {
		s.stop()
	}
	return blank{}.ReadHolding(unit, 0, n)
}
func (s stopAt) WriteRegisters(uint8, uint16, []uint16) error {
	return modbus.ErrException{Code: modbus.IllegalFunction}
}

// Ctrl-C ends a scan at once, with what was found.
func TestScanStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs screen
	url := modbusDevice(t, stopAt{2, stop})
	code := run(ctx, []string{"gateway", "scan", url, "--units", "1-200"}, &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != 0 || !strings.Contains(out.text(), "unit 1 ") || !strings.Contains(errs.text(), "Stopped after") {
		t.Errorf("ended with %d, printed %q, said %q", code, out.text(), errs.text())
	}
}

// On a terminal there is a bar, which leaves the results alone.
func TestScanShowsProgress(t *testing.T) {
	url := simulated(t)
	var out, errs screen
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "tcp://"))
	code := run(t.Context(), []string{"gateway", "scan", "127.0.0.0/28", "--ports", port, "--parallel", "1"}, &output{In: strings.NewReader(""), Out: &out, Err: &errs, IsTerminal: true})
	if code != 0 || !strings.Contains(errs.text(), "looking") || strings.Contains(out.text(), "\x1b") {
		t.Errorf("%d %q %q", code, out.text(), errs.text())
	}
}
