// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Status is what a gateway says about itself.
type Status struct {
	SpoolError string // what is wrong with the spool and what to do; empty if all is well
	Devices    []Device
}

// Device is one device as this gateway sees it.
type Device struct {
	Asset        roll.AssetID
	URL          string
	Unit         uint8
	Online       bool
	Manufacturer string
	Model        string
	Error        string
	Setpoint     *SetpointState
	Controls     []ControlState
	SecondMaster string // somebody else who commands it, in words
	Profile      string
	Sleeping     bool
}

// ControlState is one quantity that a device can be told, as it stands.
type ControlState struct {
	Quantity      device.Quantity
	InForce       bool
	Value         int64 // milliwatts, or permille
	Stopped       bool
	Expires       energy.Instant // 0: no setpoint is behind it
	Why           string
	WritesSpent   int64
	WritesAllowed int64
}

// SetpointState is the command that a device follows.
type SetpointState struct {
	Power    energy.Power
	Epoch    uint64
	Sequence uint64
	Expires  energy.Instant // world time
	Note     string
}

// Bounds of what one message down may hold.
const (
	maxSetpoints = 1_000
	maxText      = 300
)

func encodeLive(stamp guard.Stamp, readings []meters.Reading) *allmendev1.Uplink {
	m := &allmendev1.LiveBatch{StampMs: int64(stamp), Readings: make([]*allmendev1.Reading, 0, len(readings))}
	for _, r := range readings {
		m.Readings = append(m.Readings, &allmendev1.Reading{
			AssetId: string(r.Asset), AtUnixMs: int64(r.At), PowerMilliwatts: int64(r.Power), SocPermille: int32(r.SoC),
			Quality: allmendev1.Quality(r.Quality), Reason: clip(r.Reason),
		})
	}
	return &allmendev1.Uplink{Message: &allmendev1.Uplink_Live{Live: m}}
}

func encodeMeter(spoolID string, first uint64, samples []meters.Sample) *allmendev1.Uplink {
	m := &allmendev1.MeterBatch{SpoolId: spoolID, FirstSequence: first, Samples: make([]*allmendev1.MeterSample, 0, len(samples))}
	for _, s := range samples {
		m.Samples = append(m.Samples, &allmendev1.MeterSample{
			AssetId: string(s.Asset), Register: string(s.Register), AtUnixMs: int64(s.At), ValueMilliwattHours: int64(s.Value),
			Quality: allmendev1.Quality(s.Quality), Reset_: s.Reset, SocPermille: int32(s.SoC),
		})
	}
	return &allmendev1.Uplink{Message: &allmendev1.Uplink_Meter{Meter: m}}
}

func encodeStatus(now energy.Instant, s Status, clock Offset, pending uint64) *allmendev1.Uplink {
	m := &allmendev1.GatewayStatus{
		AtUnixMs: int64(now), ClockOffsetMs: int64(clock.Offset), RoundTripMs: int64(clock.RoundTrip), ClockKnown: clock.Known,
		SpoolPending: pending, SpoolError: clip(s.SpoolError),
	}
	for _, d := range s.Devices {
		out := &allmendev1.DeviceStatus{
			AssetId: string(d.Asset), Url: clip(d.URL), UnitId: uint32(d.Unit), Online: d.Online,
			Manufacturer: clip(d.Manufacturer), Model: clip(d.Model), Error: clip(d.Error),
			SecondMaster: clip(d.SecondMaster), Profile: clip(d.Profile), Sleeping: d.Sleeping,
		}
		for _, c := range d.Controls {
			out.Controls = append(out.Controls, &allmendev1.ControlState{
				Quantity: encodeQuantity(c.Quantity), InForce: c.InForce, Value: c.Value, Stopped: c.Stopped,
				ExpiresUnixMs: int64(c.Expires), Why: clip(c.Why), WritesSpent: c.WritesSpent, WritesAllowed: c.WritesAllowed,
			})
		}
		if sp := d.Setpoint; sp != nil {
			out.Setpoint = &allmendev1.SetpointState{
				PowerMilliwatts: int64(sp.Power), Epoch: sp.Epoch, Sequence: sp.Sequence, ExpiresUnixMs: int64(sp.Expires), Note: clip(sp.Note),
			}
		}
		m.Devices = append(m.Devices, out)
	}
	return &allmendev1.Uplink{Message: &allmendev1.Uplink_Status{Status: m}}
}

// decodeSetpoints translates commands. What they may do is for the guard to say.
func decodeSetpoints(m *allmendev1.SetpointBatch) ([]guard.Setpoint, error) {
	if n := len(m.GetSetpoints()); n > maxSetpoints {
		return nil, fmt.Errorf("%w: %d setpoints in one message, at most %d", ErrProtocol, n, maxSetpoints)
	}
	out := make([]guard.Setpoint, 0, len(m.GetSetpoints()))
	for _, s := range m.GetSetpoints() {
		if e := s.GetEpoch(); e > guard.MaxEpoch {
			return nil, fmt.Errorf("%w: a setpoint of epoch %d, no coordinator counts so far", ErrProtocol, e)
		}
		quantity, known := decodeQuantity(s.GetQuantity())
		if !known {
			continue // of a newer coordinator: what is not understood is not obeyed
		}
		from := guard.Charter
		if s.GetGridOperator() {
			from = guard.GridOperator
		}
		out = append(out, guard.Setpoint{
			Asset: roll.AssetID(s.GetAssetId()), Quantity: quantity, Power: energy.Power(s.GetPowerMilliwatts()), Permille: int64(s.GetPermille()),
			From: from, Stamp: guard.Stamp(s.GetStampMs()), TTL: energy.Span(s.GetTimeToLiveMs()), Epoch: s.GetEpoch(), Sequence: s.GetSequence(),
		})
	}
	return out, nil
}

// decodeQuantity is empty for the power of a battery, as in a [guard.Setpoint].
func decodeQuantity(q allmendev1.Quantity) (device.Quantity, bool) {
	switch q {
	case allmendev1.Quantity_QUANTITY_UNSPECIFIED, allmendev1.Quantity_QUANTITY_BATTERY_POWER:
		return "", true
	case allmendev1.Quantity_QUANTITY_CHARGE_LIMIT:
		return device.ChargeLimit, true
	case allmendev1.Quantity_QUANTITY_DISCHARGE_LIMIT:
		return device.DischargeLimit, true
	case allmendev1.Quantity_QUANTITY_ACTIVE_POWER:
		return device.ActivePower, true
	case allmendev1.Quantity_QUANTITY_ACTIVE_POWER_PERMILLE:
		return device.ActivePowerPct, true
	case allmendev1.Quantity_QUANTITY_LOAD_POWER:
		return device.LoadPower, true
	}
	return "", false
}

func encodeQuantity(q device.Quantity) allmendev1.Quantity {
	switch q {
	case device.BatteryPower:
		return allmendev1.Quantity_QUANTITY_BATTERY_POWER
	case device.ChargeLimit:
		return allmendev1.Quantity_QUANTITY_CHARGE_LIMIT
	case device.DischargeLimit:
		return allmendev1.Quantity_QUANTITY_DISCHARGE_LIMIT
	case device.ActivePower:
		return allmendev1.Quantity_QUANTITY_ACTIVE_POWER
	case device.ActivePowerPct:
		return allmendev1.Quantity_QUANTITY_ACTIVE_POWER_PERMILLE
	case device.LoadPower:
		return allmendev1.Quantity_QUANTITY_LOAD_POWER
	}
	return allmendev1.Quantity_QUANTITY_UNSPECIFIED
}

// clip bounds a text and keeps it valid UTF-8, which the wire demands.
func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return toValid(s)
}
