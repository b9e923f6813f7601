// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/energy"
)

// A line is worked out before it is connected. By hand, at 9600 baud, 8N1
// (10 bits a character, 3.5 characters of quiet before and after), a meter that
// answers after 20 ms: a request of 60 registers is 8 + 125 characters and 7 of
// quiet, 145.8 ms and 20.
func TestBudgets(t *testing.T) {
	cfg := Config{Poll: energy.Second}
	for i := range 12 {
		cfg.Devices = append(cfg.Devices, Device{Asset: "m", URL: "rtu:///dev/ttyUSB0?baud=9600", Unit: uint8(i + 1)})
	}
	cfg.Devices = append(cfg.Devices,
		Device{Asset: "roof", URL: "tcp://10.0.0.5:502", Unit: 1},
		Device{Asset: "grid", URL: "rtu:///dev/ttyUSB1?baud=9600&parity=E", Unit: 1, Profile: "eastron-sdm630"},
	)
	got, err := Budgets(cfg)
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	line, network, meter := got[0], got[1], got[2]
	if ms := line.Cycle.Milliseconds(); ms != 12*165+9 || line.Fits() || line.Guessed != 12 || line.Requests != 12 ||
		!strings.HasPrefix(line.Says, "this bus needs 2.0 s a cycle at 9600 baud, more than the 1.0 s between two polls") {
		t.Errorf("the line: %d ms, %+v", ms, line)
	}
	if network.Cycle != answering || !network.Fits() {
		t.Errorf("the network: %+v", network)
	}
	if meter.Guessed != 0 || meter.Requests < 1 || meter.Cycle <= answering || !strings.Contains(fmt.Sprint(meter.Says), "at 9600 baud") {
		t.Errorf("the meter of a profile: %+v", meter)
	}
	cfg.Devices = cfg.Devices[13:]
	cfg.Devices[0].URL = "rtu:///dev/ttyUSB1?baud=19200&parity=E"
	faster, err := Budgets(cfg)
	if err != nil || faster[0].Cycle >= meter.Cycle || faster[0].Requests != meter.Requests {
		t.Errorf("twice as fast: %+v after %+v, %v", faster, meter, err)
	}
}
