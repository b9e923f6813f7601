// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// program finds an independent Modbus client. Without it the test is skipped on
// a developer's machine and fails in integration, which has to have it.
func program(t *testing.T, what string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, what)
	return ""
}

func missing(t *testing.T, what string) {
	t.Helper()
	reason := what + " is not installed: `make test` installs it, or apt-get install " + what
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// noon is a world in which the sun shines, and what its inverter should say.
func noon(t *testing.T) (host, port string, watts float64) {
	t.Helper()
	clock := newHandClock(t, "2026-06-21T11:00:00Z")
	w, bus := start(t, example(t), clock, Options{})
	p := read(t, open(t, bus, 1)).Power
	if p < 500*energy.Watt {
		t.Fatalf("production at noon in June is %s", p)
	}
	host, port, _ = strings.Cut(w.Addrs()[0], ":")
	return host, port, float64(p) / float64(energy.Watt)
}

// The inverter's power by the published layout: model 103 follows model 1 of 66
// registers, W is its 14th register and W_SF the next. These are written out
// here, so that a mistake in our tables cannot hide itself.
const (
	addrMarker  = 40000
	addrModel   = 40002 + 2 + 66
	addrPower   = addrModel + 14
	modelThree  = 103
	markerFirst = 0x5375
	markerLast  = 0x6e53
)

func TestMbpollReadsTheInverter(t *testing.T) {
	mbpoll := program(t, "mbpoll", "mbpoll")
	host, port, want := noon(t)
	values := func(addr, n int, kind string) []int64 {
		out := output(t, mbpoll, "-m", "tcp", "-p", port, "-a", "1", "-0", "-r", strconv.Itoa(addr), "-c", strconv.Itoa(n), "-t", kind, "-1", host)
		var all []int64
		for _, line := range regexp.MustCompile(`(?m)^\[\d+\]:\s+(\S+)`).FindAllStringSubmatch(out, -1) {
			v, err := strconv.ParseInt(line[1], 0, 64)
			if err != nil {
				t.Fatalf("mbpoll printed %q in\n%s", line[1], out)
			}
			all = append(all, v)
		}
		if len(all) != n {
			t.Fatalf("mbpoll printed %d values of %d:\n%s", len(all), n, out)
		}
		return all
	}
	if m := values(addrMarker, 2, "4:hex"); m[0] != markerFirst || m[1] != markerLast {
		t.Errorf("the marker is %x", m)
	}
	if m := values(addrModel, 1, "4"); m[0] != modelThree {
		t.Errorf("the model is %d", m[0])
	}
	p := values(addrPower, 2, "4:hex")
	if got := float64(int16(p[0])) * math.Pow10(int(int16(p[1]))); math.Abs(got-want) > 0.5 {
		t.Errorf("mbpoll reads %g W, the inverter makes %g W", got, want)
	}
}

const pymodbusScript = `
import sys
try:
    from pymodbus.client import ModbusTcpClient
except ImportError:
    sys.exit("missing")
c = ModbusTcpClient(sys.argv[1], port=int(sys.argv[2]))
assert c.connect()
def regs(addr, n, unit=1):
    r = c.read_holding_registers(addr, n, slave=unit)
    assert not r.isError(), r
    return r.registers
def signed(v):
    return v - 0x10000 if v & 0x8000 else v
marker = regs(40000, 2)
model = regs(40070, 1)[0]
w, sf = regs(40084, 2)
refused = c.read_holding_registers(30000, 1, slave=1)
print(*marker, model, signed(w) * 10 ** signed(sf), refused.exception_code)
c.write_registers(40281 + 12, [5000, 0x10000 - 5000], slave=3)
c.write_registers(40281 + 5, [3], slave=3)
w = regs(40070 + 10, 1, unit=3)[0]
sf = regs(40070 + 116, 1, unit=3)[0]
print(signed(w) * 10 ** signed(sf))
c.close()
`

func TestPymodbusReadsTheInverterAndCommandsTheBattery(t *testing.T) {
	python := program(t, "python3-pymodbus", "/usr/bin/python3", "python3")
	if err := exec.CommandContext(t.Context(), python, "-c", "from pymodbus.client import ModbusTcpClient").Run(); err != nil {
		missing(t, "python3-pymodbus")
	}
	host, port, want := noon(t)
	// 40002 + the models 1, 701, 713 and 714 of a battery: 68, 155, 9 and 45.
	script := strings.ReplaceAll(pymodbusScript, "40281", strconv.Itoa(40002+68+155+9+45))
	var first, last, model, refused int
	var watts, battery float64
	out := output(t, python, "-c", script, host, port)
	if _, err := fmt.Sscan(out, &first, &last, &model, &watts, &refused, &battery); err != nil {
		t.Fatalf("pymodbus printed %q: %v", out, err)
	}
	if first != markerFirst || last != markerLast || model != modelThree || refused != 2 {
		t.Errorf("pymodbus reads %q", out)
	}
	if math.Abs(watts-want) > 0.5 {
		t.Errorf("pymodbus reads %g W, the inverter makes %g W", watts, want)
	}
	if battery != 2500 { // 50 % of 5 kW
		t.Errorf("commanded by pymodbus, the battery gives %g W", battery)
	}
}

// An independent client opens the other end of a pseudo-terminal as a serial
// port, and reads a meter by its maker's registers.
func TestMbpollReadsASerialLine(t *testing.T) {
	mbpoll := program(t, "mbpoll", "mbpoll")
	site, err := DecodeSite("line.yaml", []byte(`site: line
houses: [{house: h}]
listeners:
  - address: "pty:"
    devices: [{asset: m, unit: 7, kind: meter, house: h, profile: eastron-sdm630}]
`))
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(site, newHandClock(t, "2026-06-21T11:00:00Z"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.mu.Lock()
	w.houses[0].source = sunny
	w.decide()
	w.mu.Unlock()
	out := output(t, mbpoll, "-m", "rtu", "-b", "9600", "-P", "none", "-a", "7", "-0", "-r", "52", "-c", "1", "-t", "3:float", "-B", "-1", w.Addrs()[0])
	if !strings.Contains(out, "-6000") {
		t.Errorf("mbpoll printed\n%s\nwant -6000 W at register 52", out)
	}
}
