// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

import (
	"context"
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/gateway/device"
)

// heartPoints are where a device wants to see that its controller lives, and
// where it says who commands it.
type heartPoints struct {
	model       uint16
	beat, local string
	state       string // empty: none
}

func hearts() []heartPoints {
	return []heartPoints{
		{BatteryBase, "CtrlHb", "LocRemCtl", "State"},
		{ControlDER, "ControllerHb", "LocRemCtl", ""},
	}
}

// States of a battery bank (model 802) in which it can't follow.
const (
	bankDisconnected = 1
	bankFault        = 99
)

// ready says why a command would be in vain, and shows the first heartbeat. A
// bank that is disconnected stays so: closing contactors is the protection's
// decision, never ours, and so SetOp is not written.
func (d *Device) ready(ctx context.Context) error {
	if err := d.state.beatErr; err != nil {
		d.state.beatErr = nil
		return err
	}
	for _, h := range hearts() {
		b, err := d.block(ctx, []string{h.local, h.state, h.beat}, h.model)
		if errors.Is(err, errAbsent) || errors.Is(err, errRefused) {
			continue
		}
		if err != nil {
			return err
		}
		if v := b.Value(h.local); v.Implemented && v.Raw == 1 {
			return fmt.Errorf("%w: it is switched to local control (%s of model %d); switch it to remote at the device", device.ErrNoControl, h.local, h.model)
		}
		if v := b.Value(h.state); h.state != "" && v.Implemented && (v.Raw == bankDisconnected || v.Raw == bankFault) {
			return fmt.Errorf("%w: the battery is %s (State of model %d); look at it first, its contactors are not closed from here", device.ErrNoControl, v.Text, h.model)
		}
		if err := d.beat(ctx, b, h); err != nil {
			return err
		}
	}
	return nil
}

// beat writes the next heartbeat where the device has a place for it.
func (d *Device) beat(ctx context.Context, b Block, h heartPoints) error {
	v := b.Value(h.beat)
	e, ok := d.chain.Find(h.model)
	if !v.Implemented || !ok {
		return nil
	}
	d.state.beats = true
	d.state.beat = (d.state.beat + 1) % 0x7FFF
	if err := d.set(ctx, place{b, e}, h.beat, int64(d.state.beat)); err != nil {
		return fmt.Errorf("its heartbeat (%s of model %d) can't be written: %w", h.beat, h.model, err)
	}
	return nil
}

// keepHeartbeat goes on with it while a command is in force: devices that have
// it expect it each second, as often as they are read. That it fails is told by
// the next command; what was read is worth having all the same.
func (d *Device) keepHeartbeat(ctx context.Context) error {
	if d.state.last == "" || !d.state.beats {
		return nil
	}
	for _, h := range hearts() {
		b, err := d.block(ctx, []string{h.beat}, h.model)
		if errors.Is(err, errAbsent) {
			continue
		}
		if err == nil {
			err = d.beat(ctx, b, h)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.state.beatErr = err
	}
	return nil
}
