// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler"
)

// Bounds of what a gateway may send.
const (
	maxBatch   = 5_000 // samples or readings in one message; a message has at most 4 MiB
	maxDevices = 1_000
	maxText    = 300
	maxSpoolID = 64

	// MaxAhead is how far in the future a gateway's times may lie: its clock may
	// be wrong, but nothing may be booked for a day that has not come.
	MaxAhead = energy.Hour
	// MaxBehind is how old a sample may be: longer than any gateway was away,
	// short enough that a clock set to 1970 opens no ancient intervals.
	MaxBehind = 400 * energy.Day

	maxPower    = 10_000_000 * energy.Kilowatt
	maxRegister = energy.Energy(1e12) * energy.WattHour // a petawatt-hour: no meter counts so far
	maxSoC      = 1_000
)

// ErrInvalid is wrapped by every refusal of a message.
var ErrInvalid = errors.New("message refused")

func refuse(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalid, field, fmt.Sprintf(format, args...))
}

// Assets knows which assets a gateway speaks for.
type Assets map[speaker]roll.Asset

// speaker is a gateway and an asset that it reads.
type speaker struct {
	gateway roll.GatewayID
	asset   roll.AssetID
}

// AssetsOf are the assets of registers. More than one register are those of
// different times: a gateway may still bring what an asset measured that has
// left by now, or that another gateway reads.
func AssetsOf(registers ...roll.Community) Assets {
	a := Assets{}
	for _, c := range registers {
		for _, asset := range c.Assets {
			a[speaker{asset.Gateway, asset.ID}] = asset
		}
	}
	return a
}

// Without are the assets that others does not have.
func (a Assets) Without(others Assets) Assets {
	out := Assets{}
	for who, asset := range a {
		if _, known := others[who]; !known {
			out[who] = asset
		}
	}
	return out
}

// own returns the asset of that id if the gateway speaks for it. It does not
// tell a gateway which other assets there are.
func (a Assets) own(gateway roll.GatewayID, field, id string) (roll.Asset, error) {
	asset, ok := a[speaker{gateway, roll.AssetID(id)}]
	if !ok {
		return roll.Asset{}, refuse(field, "%.60q is no asset of gateway %s: correct gateway.yaml there or the register here (allmende asset)", id, gateway)
	}
	return asset, nil
}

// Hello is the first message of a stream.
type Hello struct {
	Software     string
	SpoolID      string
	LastSequence uint64
	HighestEpoch uint64 // that the gateway has heard of
}

// LiveBatch is the live lane's message.
type LiveBatch struct {
	StampMS  int64 // the gateway's monotonic clock
	Readings []meters.Reading
}

// MeterBatch is the metering lane's message; the samples' sequences count up from First.
type MeterBatch struct {
	SpoolID string
	First   uint64
	Samples []meters.Sample
	// Aside are samples that must not be counted, in order.
	Aside []Aside
}

// Aside is a sample that is kept but not counted.
type Aside struct {
	Index int   // into Samples
	Why   error // wraps ErrInvalid, names the field
}

// Status is what a gateway says about itself.
type Status struct {
	At           energy.Instant
	ClockOffset  energy.Span // gateway − coordinator
	RoundTrip    energy.Span
	ClockKnown   bool
	SpoolPending uint64
	SpoolError   string
	Devices      []Device
}

// Device is one device as its gateway sees it.
type Device struct {
	Asset        roll.AssetID
	URL          string
	Unit         uint32
	Online       bool
	Manufacturer string
	Model        string
	Error        string
	Setpoint     *SetpointState
	Controls     []*allmendev1.ControlState // bounded, texts cut
	SecondMaster string
	Profile      string
	Sleeping     bool
}

// SetpointState is the command that a device follows.
type SetpointState struct {
	Power    energy.Power
	Epoch    uint64
	Sequence uint64
	Expires  energy.Instant
	Note     string
}

func decodeHello(m *allmendev1.Hello) (Hello, error) {
	if err := checkSpoolID("hello.spool_id", m.GetSpoolId()); err != nil {
		return Hello{}, err
	}
	return Hello{clip(m.GetSoftware()), m.GetSpoolId(), m.GetLastSequence(), m.GetHighestEpoch()}, nil
}

// checkSpoolID bounds what becomes a key in the database.
func checkSpoolID(field, id string) error {
	if id == "" || len(id) > maxSpoolID {
		return refuse(field, "write 1 to %d characters", maxSpoolID)
	}
	if strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) {
		return refuse(field, "write letters, digits, '-' and '_' only")
	}
	return nil
}

// DecodeLive checks and translates a live batch of a gateway at world time now.
func DecodeLive(assets Assets, gateway roll.GatewayID, now energy.Instant, m *allmendev1.LiveBatch) (LiveBatch, error) {
	if n := len(m.GetReadings()); n > maxBatch {
		return LiveBatch{}, refuse("live.readings", "%d readings in one message, at most %d", n, maxBatch)
	}
	if m.GetStampMs() < 0 {
		return LiveBatch{}, refuse("live.stamp_ms", "%d is negative: a monotonic clock counts from its start", m.GetStampMs())
	}
	out := LiveBatch{StampMS: m.GetStampMs(), Readings: make([]meters.Reading, 0, len(m.GetReadings()))}
	for i, r := range m.GetReadings() {
		reading, err := decodeReading(assets, gateway, now, fmt.Sprintf("live.readings[%d]", i), r)
		if err != nil {
			return LiveBatch{}, err
		}
		out.Readings = append(out.Readings, reading)
	}
	return out, nil
}

func decodeReading(assets Assets, gateway roll.GatewayID, now energy.Instant, field string, r *allmendev1.Reading) (meters.Reading, error) {
	asset, err := assets.own(gateway, field+".asset_id", r.GetAssetId())
	if err != nil {
		return meters.Reading{}, err
	}
	at, soc := energy.Instant(r.GetAtUnixMs()), int64(r.GetSocPermille())
	if err := checkTime(field+".at_unix_ms", now, at); err != nil {
		return meters.Reading{}, err
	}
	p := energy.Power(r.GetPowerMilliwatts())
	if p > maxPower || p < -maxPower {
		return meters.Reading{}, refuse(field+".power_milliwatts", "%s is more than any asset has", p)
	}
	quality, err := decodeQuality(field+".quality", r.GetQuality())
	if err != nil {
		return meters.Reading{}, err
	}
	if err := checkSoC(field+".soc_permille", asset, soc); err != nil {
		return meters.Reading{}, err
	}
	if asset.Kind != roll.Battery {
		soc = -1 // proto3 cannot leave a 0 out
	}
	return meters.Reading{Asset: asset.ID, At: at, Power: p, SoC: soc, Quality: quality, Reason: clip(r.GetReason())}, nil
}

// DecodeMeter checks and translates a metering batch of a gateway at world time
// now. A batch that no gateway of ours makes is refused as a whole. A sample
// that cannot be true or is not the gateway's to report is set aside: sequences
// have no holes, so refusing it would hold back everything behind it for good,
// even after somebody has corrected the asset's name or the clock.
func DecodeMeter(assets Assets, gateway roll.GatewayID, now energy.Instant, m *allmendev1.MeterBatch) (MeterBatch, error) {
	if err := checkSpoolID("meter.spool_id", m.GetSpoolId()); err != nil {
		return MeterBatch{}, err
	}
	n := len(m.GetSamples())
	if n > maxBatch {
		return MeterBatch{}, refuse("meter.samples", "%d samples in one message, at most %d", n, maxBatch)
	}
	const maxSequence = 1<<63 - 1 - maxBatch // as far as the database counts
	if first := m.GetFirstSequence(); first == 0 || first > maxSequence-uint64(n) {
		return MeterBatch{}, refuse("meter.first_sequence", "%d is none: sequences count up from 1", first)
	}
	out := MeterBatch{SpoolID: m.GetSpoolId(), First: m.GetFirstSequence(), Samples: make([]meters.Sample, 0, n)}
	for i, s := range m.GetSamples() {
		field := fmt.Sprintf("meter.samples[%d]", i)
		sample, err := decodeSample(field, s)
		if err != nil {
			return MeterBatch{}, err
		}
		if err := assets.bookable(gateway, field, now, sample); err != nil {
			out.Aside = append(out.Aside, Aside{i, err})
		} else if assets[speaker{gateway, sample.Asset}].Kind != roll.Battery {
			sample.SoC = -1 // proto3 cannot leave a 0 out
		}
		out.Samples = append(out.Samples, sample)
	}
	return out, nil
}

// decodeSample translates what can be stored.
func decodeSample(field string, s *allmendev1.MeterSample) (meters.Sample, error) {
	if err := roll.CheckID(s.GetAssetId()); err != nil {
		return meters.Sample{}, refuse(field+".asset_id", "%v", err)
	}
	register := meters.Register(s.GetRegister())
	switch register {
	case meters.Import, meters.Export, meters.Production, meters.Charged, meters.Discharged:
	default:
		return meters.Sample{}, refuse(field+".register", "%.40q is no register", s.GetRegister())
	}
	quality, err := decodeQuality(field+".quality", s.GetQuality())
	if err != nil {
		return meters.Sample{}, err
	}
	return meters.Sample{
		Key: meters.Key{Asset: roll.AssetID(s.GetAssetId()), Register: register},
		At:  energy.Instant(s.GetAtUnixMs()), Value: energy.Energy(s.GetValueMilliwattHours()),
		Quality: quality, Reset: s.GetReset_(), SoC: int64(s.GetSocPermille()),
	}, nil
}

// Bookable says whether a sample of a gateway may be counted at world time now:
// it is the gateway's own, of a register that the asset has, and can be true.
// What was set aside when it came is judged again when the inbox is read back,
// so that a corrected register lets it count.
func (a Assets) Bookable(gateway roll.GatewayID, now energy.Instant, s meters.Sample) error {
	return a.bookable(gateway, "sample", now, s)
}

func (a Assets) bookable(gateway roll.GatewayID, field string, now energy.Instant, s meters.Sample) error {
	asset, err := a.own(gateway, field+".asset_id", string(s.Asset))
	if err != nil {
		return err
	}
	if !scheduler.HasRegister(asset.Kind, s.Register) {
		return refuse(field+".register", "a %s has no register %q: correct the device's address in gateway.yaml there, or the register here (allmende asset)", asset.Kind, s.Register)
	}
	if err := checkTime(field+".at_unix_ms", now, s.At); err != nil {
		return err
	}
	if s.Value < 0 || s.Value > maxRegister {
		return refuse(field+".value_milliwatt_hours", "%s is no count of an energy register", s.Value)
	}
	return checkSoC(field+".soc_permille", asset, s.SoC)
}

func checkTime(field string, now, at energy.Instant) error {
	switch {
	case at > now.Add(MaxAhead):
		return refuse(field, "%d lies more than %s ahead of the coordinator's clock: set the clocks of both (timedatectl)", at, MaxAhead)
	case at < now.Add(-MaxBehind):
		return refuse(field, "%d lies more than %d days back: set the gateway's clock (timedatectl)", at, MaxBehind/energy.Day)
	}
	return nil
}

func decodeQuality(field string, q allmendev1.Quality) (energy.Quality, error) {
	if q < 0 || q > allmendev1.Quality(energy.NotImplemented) {
		return 0, refuse(field, "%d is no quality that this coordinator knows: update it", q)
	}
	return energy.Quality(q), nil
}

// checkSoC bounds a battery's state of charge. Other assets have none, whatever they say.
func checkSoC(field string, asset roll.Asset, soc int64) error {
	if asset.Kind == roll.Battery && (soc < -1 || soc > maxSoC) {
		return refuse(field, "%d is no state of charge: 0 to %d permille, or -1 where it is not known", soc, maxSoC)
	}
	return nil
}

// decodeStatus takes what a gateway says about itself; texts are cut, devices
// that are not its own are left out: a status is for people and decides nothing.
func decodeStatus(assets Assets, gateway roll.GatewayID, m *allmendev1.GatewayStatus) (Status, error) {
	if n := len(m.GetDevices()); n > maxDevices {
		return Status{}, refuse("status.devices", "%d devices, at most %d", n, maxDevices)
	}
	out := Status{
		At: energy.Instant(m.GetAtUnixMs()), ClockOffset: energy.Span(m.GetClockOffsetMs()), RoundTrip: energy.Span(m.GetRoundTripMs()),
		ClockKnown: m.GetClockKnown(), SpoolPending: m.GetSpoolPending(), SpoolError: clip(m.GetSpoolError()),
	}
	for _, d := range m.GetDevices() {
		asset, err := assets.own(gateway, "", d.GetAssetId())
		if err != nil {
			continue
		}
		out.Devices = append(out.Devices, Device{
			Asset: asset.ID, URL: clip(d.GetUrl()), Unit: d.GetUnitId(), Online: d.GetOnline(),
			Manufacturer: clip(d.GetManufacturer()), Model: clip(d.GetModel()), Error: clip(d.GetError()),
			Setpoint: decodeSetpointState(d.GetSetpoint()), Controls: decodeControls(d.GetControls()),
			SecondMaster: clip(d.GetSecondMaster()), Profile: clip(d.GetProfile()), Sleeping: d.GetSleeping(),
		})
	}
	return out, nil
}

// maxControls is more than a device can be told.
const maxControls = 16

func decodeControls(controls []*allmendev1.ControlState) []*allmendev1.ControlState {
	var out []*allmendev1.ControlState
	for _, c := range controls[:min(len(controls), maxControls)] {
		out = append(out, &allmendev1.ControlState{
			Quantity: c.GetQuantity(), InForce: c.GetInForce(), Value: c.GetValue(), Stopped: c.GetStopped(),
			ExpiresUnixMs: c.GetExpiresUnixMs(), Why: clip(c.GetWhy()), WritesSpent: c.GetWritesSpent(), WritesAllowed: c.GetWritesAllowed(),
		})
	}
	return out
}

func decodeSetpointState(s *allmendev1.SetpointState) *SetpointState {
	if s == nil {
		return nil
	}
	return &SetpointState{
		energy.Power(s.GetPowerMilliwatts()), s.GetEpoch(), s.GetSequence(), energy.Instant(s.GetExpiresUnixMs()), clip(s.GetNote()),
	}
}

// clip bounds a text that is shown to people and keeps it valid UTF-8.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
