// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
)

// A server that knows nothing of this code: it serves the registers of a file.
const pymodbusServer = `
import asyncio, json, logging, sys
logging.disable() # refusals are what the test asks for
try:
    from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
    from pymodbus.server.async_io import ModbusTcpServer
except ImportError:
    sys.exit("missing")
units = {}
for unit, image in json.load(open(sys.argv[1])).items():
    block = ModbusSequentialDataBlock(image["base"], image["registers"])
    units[int(unit)] = ModbusSlaveContext(hr=block, zero_mode=True)
async def main():
    server = ModbusTcpServer(ModbusServerContext(slaves=units, single=False), address=("127.0.0.1", 0))
    task = asyncio.create_task(server.serve_forever())
    await server.serving
    print(server.server.sockets[0].getsockname()[1], flush=True)
    await task
asyncio.run(main())
`

type servedImage struct {
	Base      uint16   `json:"base"`
	Registers []uint16 `json:"registers"`
}

// servePymodbus serves images by unit and returns the address.
func servePymodbus(t *testing.T, images map[uint8]servedImage) string {
	t.Helper()
	python, err := exec.LookPath("/usr/bin/python3")
	if err == nil {
		err = exec.CommandContext(t.Context(), python, "-c", "from pymodbus.server.async_io import ModbusTcpServer").Run()
	}
	if err != nil {
		const reason = "python3-pymodbus is not installed: `make test` installs it, or apt-get install python3-pymodbus"
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	b, err := json.Marshal(images)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "images.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, python, "-c", pymodbusServer, file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	t.Cleanup(func() {
		cancel()
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait() // it was killed
	})
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("pymodbus said %q: %v", line, err)
	}
	return "tcp://127.0.0.1:" + strings.TrimSpace(line)
}

func connectTo(t *testing.T, url string) *modbus.Bus {
	t.Helper()
	bus := modbus.NewBus(modbus.Config{URL: url})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return bus
}

// ofFile is an image with the values of a published device file, its unknown
// models and all; what the file does not say is drawn.
func ofFile(t *testing.T, name string, rng *rand.Rand) *encoder {
	e := &encoder{t: t, rng: rng, count: func(string) int { return 1 }, regs: []uint16{0x5375, 0x6e53}}
	for _, values := range deviceFile(t, name) {
		if id := uint16(values["ID"].(float64)); id != endOfChain {
			e.model(definition(t, id), values)
		}
	}
	e.regs = append(e.regs, 0xFFFF, 0)
	return e
}

// ofAll is an image with all models of this package, drawn.
func ofAll(t *testing.T, seed uint64) *encoder {
	rng := rand.New(rand.NewPCG(seed, 4))
	e := &encoder{t: t, rng: rng, regs: []uint16{0x5375, 0x6e53}}
	e.count = func(string) int { return rng.IntN(6) } // also none
	for _, id := range listed() {
		e.model(definition(t, id), nil)
	}
	e.regs = append(e.regs, 0xFFFF, 0)
	return e
}

// All values of all models, encoded by the published definitions and served by
// somebody else's server, come out right: at each base, with the blocks that
// devices give at once.
func TestProbeReadsWhatAnIndependentServerServes(t *testing.T) {
	shared(t, "data", "sunspec-models")
	encoders := []*encoder{ofFile(t, "device_1547.json", rand.New(rand.NewPCG(1547, 0)))}
	for seed := range uint64(3) {
		encoders = append(encoders, ofAll(t, seed+1))
	}
	// This one names no model that measures, and one that is not known here.
	encoders = append(encoders, ofFile(t, "inverter_123.json", rand.New(rand.NewPCG(123, 0))))
	images := map[uint8]servedImage{}
	for i, e := range encoders {
		images[uint8(i+1)] = servedImage{bases()[i%3], e.regs}
	}
	bus := connectTo(t, servePymodbus(t, images))
	total, none := 0, 0
	for i, e := range encoders {
		for _, limit := range []int{0, 64, 20} {
			unit := uint8(i + 1)
			d, err := OpenWith(t.Context(), bus, unit, Options{MaxRegisters: limit})
			if err != nil {
				t.Fatal(err)
			}
			p, err := device.Probe(t.Context(), unit, d)
			if err != nil {
				t.Fatal(err)
			}
			if *p.Base != bases()[i%3] || p.Profile != "sunspec" || len(p.Remarks) > 0 {
				t.Errorf("unit %d: base %d, profile %s, remarks %q", unit, *p.Base, p.Profile, p.Remarks)
			}
			n, without := compareProbe(t, fmt.Sprintf("unit %d, %d registers a read", unit, limit), e, p)
			total, none = total+n, none+without
		}
	}
	t.Logf("%d values, %d of them not implemented", total, none)
	if total < 3*4*1500 || none < total/20 {
		t.Errorf("only %d values were compared, %d of them not implemented", total, none)
	}
}

// compareProbe compares what was read with what the encoder wrote.
func compareProbe(t *testing.T, where string, e *encoder, p device.Probed) (n, none int) {
	t.Helper()
	var want []wanted
	for _, w := range e.want {
		if _, known := Lookup(w.model); known {
			want = append(want, w)
		}
	}
	if len(p.Points) != len(want) {
		t.Fatalf("%s: %d points, want %d", where, len(p.Points), len(want))
	}
	for i, w := range want {
		got := p.Points[i]
		where := fmt.Sprintf("%s, %d.%s", where, w.model, w.name)
		if got.Name != w.name || got.Model != w.model || got.Unit != w.unit || int(got.Address) != int(*p.Base)+w.address {
			t.Fatalf("%s: got %+v, want %+v", where, got, w)
		}
		if w.none {
			none++
			if got.Quality != energy.NotImplemented || got.Value != "" || got.Reason == "" {
				t.Errorf("%s: is not implemented, but %+v", where, got)
			}
			continue
		}
		if got.Quality != energy.Good {
			t.Errorf("%s: quality %s (%s)", where, got.Quality, got.Reason)
		}
		if w.number == nil {
			if got.Value != strings.TrimSpace(w.text) {
				t.Errorf("%s: %q, want %q", where, got.Value, w.text)
			}
			continue
		}
		value, ok := new(big.Rat).SetString(got.Value)
		if ok && w.single {
			exact, _ := w.number.Float32()
			f, err := strconv.ParseFloat(got.Value, 32)
			ok = err == nil && float32(f) == exact
			if size := new(big.Rat).Abs(w.number); size.Cmp(big.NewRat(1<<24, 1)) >= 0 && size.Cmp(big.NewRat(1<<62, 1)) < 0 {
				ok = ok && value.Cmp(w.number) == 0 // a counter, exact to its last digit
			}
		} else {
			ok = ok && value.Cmp(w.number) == 0
		}
		if !ok {
			t.Errorf("%s: %s, want %s", where, got.Value, w.number.FloatString(12))
		}
	}
	return len(want), none
}

// Commands arrive at somebody else's server where the published definitions say
// that they belong.
func TestCommandsReachAnIndependentServer(t *testing.T) {
	shared(t, "data", "sunspec-models")
	e := &encoder{t: t, rng: rand.New(rand.NewPCG(1, 1)), count: func(string) int { return 1 }, regs: []uint16{0x5375, 0x6e53}}
	for _, m := range []struct {
		id     uint16
		values map[string]any
	}{
		{1, nil},
		{103, nil},
		{121, map[string]any{"WMax": 1000., "WMax_SF": 1.}},
		{123, map[string]any{"WMaxLimPct": 100., "WMaxLimPct_SF": -1., "WMaxLimPct_RvrtTms": 0., "WMaxLim_Ena": 0.}},
		{124, map[string]any{"WChaMax": 5000., "WChaMax_SF": 0., "StorCtl_Mod": 0., "OutWRte": 0., "InWRte": 0., "InOutWRte_SF": -2., "InOutWRte_RvrtTms": 0.}},
	} {
		e.model(definition(t, m.id), m.values)
	}
	e.regs = append(e.regs, 0xFFFF, 0)
	bus := connectTo(t, servePymodbus(t, map[uint8]servedImage{1: {40000, e.regs}}))
	register := func(model uint16, name string) uint16 {
		for _, w := range e.want {
			if w.model == model && w.name == name {
				regs, err := bus.ReadHolding(t.Context(), 1, uint16(40000+w.address), 1)
				if err != nil {
					t.Fatal(err)
				}
				return regs[0]
			}
		}
		t.Fatalf("model %d has no %s", model, name)
		return 0
	}
	for _, c := range []struct {
		kind    roll.AssetKind
		command device.Command
		model   uint16
		want    map[string]uint16
	}{
		{
			roll.Inverter, device.Command{Quantity: device.ActivePower, Value: 4_321_000, Reversion: 75 * time.Second}, 123,
			map[string]uint16{"WMaxLimPct": 432, "WMaxLimPct_RvrtTms": 75, "WMaxLim_Ena": 1},
		},
		{
			roll.Battery, batteryPower(-energy.Kilowatt, 75*time.Second), 124,
			map[string]uint16{"OutWRte": neg(2000), "InWRte": 2000, "InOutWRte_RvrtTms": 75, "StorCtl_Mod": 3},
		},
	} {
		d, err := OpenWith(t.Context(), bus, 1, Options{Kind: c.kind})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Apply(t.Context(), c.command); err != nil {
			t.Fatal(err)
		}
		for name, want := range c.want {
			if got := register(c.model, name); got != want {
				t.Errorf("%s: the server holds %d in %s, want %d", c.kind, got, name, want)
			}
		}
		if a, err := d.Applied(t.Context()); err != nil || !a.Active {
			t.Errorf("%s: %+v, %v", c.kind, a, err)
		}
		if err := d.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a, err := d.Applied(t.Context()); err != nil || a.Active {
			t.Errorf("%s, released: %+v, %v", c.kind, a, err)
		}
	}
}
