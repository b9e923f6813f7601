// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

const pymodbusSerial = `
import sys
from pymodbus.server import StartSerialServer
from pymodbus.datastore import ModbusSequentialDataBlock, ModbusSlaveContext, ModbusServerContext
from pymodbus.transaction import ModbusRtuFramer
block = lambda f: ModbusSequentialDataBlock(1, [(i * f) & 0xffff for i in range(3000)])
bits = lambda f: ModbusSequentialDataBlock(1, [i % f == 0 for i in range(3000)])
unit = ModbusSlaveContext(hr=block(3), ir=block(5), co=bits(3), di=bits(7))
StartSerialServer(context=ModbusServerContext(slaves={9: unit}, single=False), framer=ModbusRtuFramer, port=sys.argv[1], baudrate=115200)
`

// A slave of somebody else's making, on a serial line: pymodbus at one end of
// two pseudo-terminals that are joined, a bus at the other.
func TestPymodbusOverSerial(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.CommandContext(t.Context(), python, "-c", "import pymodbus, serial").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("pymodbus is not installed")
		}
		t.Skip("python3-pymodbus is not installed: `make needs` installs it")
	}
	ours, path := openPTY(t)
	theirs, other := openPTY(t)
	var joined sync.WaitGroup
	joined.Go(func() { _, _ = io.Copy(ours, theirs) })
	joined.Go(func() { _, _ = io.Copy(theirs, ours) })
	server := exec.CommandContext(t.Context(), python, "-c", pymodbusSerial, other)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		ours.Close()
		theirs.Close()
		joined.Wait()
	})
	b := run(t, Config{URL: "rtu://" + path + "?baud=115200", Timeout: 5 * time.Second, Quiet: 20 * time.Millisecond})
	ctx := t.Context()
	for { // until it listens; bounded by the test's own time limit
		if _, err := b.ReadHolding(ctx, 9, 0, 1); err == nil {
			break
		}
	}
	holding, err := b.ReadHolding(ctx, 9, 100, MaxRead)
	if err != nil || holding[0] != 300 || holding[124] != 672 {
		t.Errorf("holding registers: %v, %v", holding, err)
	}
	input, err := b.ReadInput(ctx, 9, 2000, 2)
	if err != nil || input[0] != 10000 || input[1] != 10005 {
		t.Errorf("input registers: %v, %v", input, err)
	}
	coils, err := b.ReadCoils(ctx, 9, 0, MaxReadBits)
	if err != nil || !coils[0] || coils[1] || !coils[1998] || coils[1999] {
		t.Errorf("coils: %v", err)
	}
	inputs, err := b.ReadDiscrete(ctx, 9, 7, 9)
	if err != nil || !inputs[0] || inputs[1] || !inputs[7] {
		t.Errorf("discrete inputs: %v, %v", inputs, err)
	}
	everyWrite(t, b, 9)
	if _, err := b.ReadHolding(ctx, 9, 2999, 5); err == nil {
		t.Error("registers beyond its last were given")
	}
}
