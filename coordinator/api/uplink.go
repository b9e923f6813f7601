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
type Assets map[roll.AssetID]roll.Asset

// AssetsOf is the register's assets by id.
func AssetsOf(c roll.Community) Assets {
	a := make(Assets, len(c.Assets))
	for _, asset := range c.Assets {
		a[asset.ID] = asset
	}
	return a
}

// own returns the asset of that id if the gateway speaks for it. It does not
// tell a gateway which other assets there are.
func (a Assets) own(gateway roll.GatewayID, field, id string) (roll.Asset, error) {
	asset, ok := a[roll.AssetID(id)]
	if !ok || asset.Gateway != gateway {
		return roll.Asset{}, refuse(field, "%.60q is no asset of gateway %s: correct gateway.yaml there or community.yaml here", id, gateway)
	}
	return asset, nil
}

// Hello is the first message of a stream.
type Hello struct {
	Software     string
	SpoolID      string
	LastSequence uint64
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
	return Hello{clip(m.GetSoftware()), m.GetSpoolId(), m.GetLastSequence()}, nil
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
	at, err := decodeTime(field+".at_unix_ms", now, r.GetAtUnixMs())
	if err != nil {
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
	soc, err := decodeSoC(field+".soc_permille", asset, r.GetSocPermille())
	if err != nil {
		return meters.Reading{}, err
	}
	return meters.Reading{Asset: asset.ID, At: at, Power: p, SoC: soc, Quality: quality, Reason: clip(r.GetReason())}, nil
}

// DecodeMeter checks and translates a metering batch of a gateway at world time
// now. One bad sample refuses the batch: sequences have no holes.
func DecodeMeter(assets Assets, gateway roll.GatewayID, now energy.Instant, m *allmendev1.MeterBatch) (MeterBatch, error) {
	if err := checkSpoolID("meter.spool_id", m.GetSpoolId()); err != nil {
		return MeterBatch{}, err
	}
	n := len(m.GetSamples())
	if n > maxBatch {
		return MeterBatch{}, refuse("meter.samples", "%d samples in one message, at most %d", n, maxBatch)
	}
	const maxSequence = 1<<63 - 1 // as far as the database counts
	if first := m.GetFirstSequence(); first == 0 || first > maxSequence-uint64(n) {
		return MeterBatch{}, refuse("meter.first_sequence", "%d is none: sequences count up from 1", first)
	}
	out := MeterBatch{SpoolID: m.GetSpoolId(), First: m.GetFirstSequence(), Samples: make([]meters.Sample, 0, n)}
	for i, s := range m.GetSamples() {
		sample, err := decodeSample(assets, gateway, now, fmt.Sprintf("meter.samples[%d]", i), s)
		if err != nil {
			return MeterBatch{}, err
		}
		out.Samples = append(out.Samples, sample)
	}
	return out, nil
}

func decodeSample(assets Assets, gateway roll.GatewayID, now energy.Instant, field string, s *allmendev1.MeterSample) (meters.Sample, error) {
	asset, err := assets.own(gateway, field+".asset_id", s.GetAssetId())
	if err != nil {
		return meters.Sample{}, err
	}
	register := meters.Register(s.GetRegister())
	if !scheduler.HasRegister(asset.Kind, register) {
		return meters.Sample{}, refuse(field+".register", "a %s has no register %.40q", asset.Kind, s.GetRegister())
	}
	at, err := decodeTime(field+".at_unix_ms", now, s.GetAtUnixMs())
	if err != nil {
		return meters.Sample{}, err
	}
	value := energy.Energy(s.GetValueMilliwattHours())
	if value < 0 || value > maxRegister {
		return meters.Sample{}, refuse(field+".value_milliwatt_hours", "%s is no count of an energy register", value)
	}
	quality, err := decodeQuality(field+".quality", s.GetQuality())
	if err != nil {
		return meters.Sample{}, err
	}
	soc, err := decodeSoC(field+".soc_permille", asset, s.GetSocPermille())
	if err != nil {
		return meters.Sample{}, err
	}
	return meters.Sample{
		Key: meters.Key{Asset: asset.ID, Register: register},
		At:  at, Value: value, Quality: quality, Reset: s.GetReset_(), SoC: soc,
	}, nil
}

func decodeTime(field string, now energy.Instant, unixMS int64) (energy.Instant, error) {
	at := energy.Instant(unixMS)
	switch {
	case at > now.Add(MaxAhead):
		return 0, refuse(field, "%d lies more than %s ahead of the coordinator's clock: set the clocks of both (timedatectl)", unixMS, MaxAhead)
	case at < now.Add(-MaxBehind):
		return 0, refuse(field, "%d lies more than %d days back: set the gateway's clock (timedatectl)", unixMS, MaxBehind/energy.Day)
	}
	return at, nil
}

func decodeQuality(field string, q allmendev1.Quality) (energy.Quality, error) {
	if q < 0 || q > allmendev1.Quality(energy.NotImplemented) {
		return 0, refuse(field, "%d is no quality that this coordinator knows: update it", q)
	}
	return energy.Quality(q), nil
}

// decodeSoC reads a battery's state of charge. Other assets have none, whatever
// they say: proto3 cannot leave a 0 out.
func decodeSoC(field string, asset roll.Asset, soc int32) (int64, error) {
	if asset.Kind != roll.Battery {
		return -1, nil
	}
	if soc < -1 || soc > maxSoC {
		return 0, refuse(field, "%d is no state of charge: write 0 to %d permille, or -1 where it is not known", soc, maxSoC)
	}
	return int64(soc), nil
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
			Setpoint: decodeSetpointState(d.GetSetpoint()),
		})
	}
	return out, nil
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
