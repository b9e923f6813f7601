// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// Example is a site file with every field.
const Example = `# A place that does not exist, for ` + "`allmende sim --site FILE`" + `.
site: lindenweg
latitude: 48.21        # where the sun shines on it; needed where a house has pv
longitude: 16.37
seed: 7                # same seed: same clouds, same habits
step: 1s               # how long powers stay constant, in world time

houses:
  - house: home-1      # a synthetic household with a roof
    load: {kwh_per_year: 3500}
    pv: {peak_w: 6000, tilt_deg: 30, azimuth_deg: 180}
  - house: home-2      # no roof
    load: {kwh_per_year: 2400}
# - house: home-3      # follows a recording instead
#   profile:
#     format: citylearn
#     dir: citylearn-2022            # seen from this file
#     building: Building_1
#     start_hour: 0                  # the row that plays first …
#     start: 2026-06-01T00:00:00Z    # … at this world time; without: the hour of the first start

listeners:             # one port each, with many units behind it
  - address: 127.0.0.1:5020          # port 0 takes a free one
    devices:
      - {asset: home-1-pv, unit: 1, kind: inverter, house: home-1}
      - {asset: home-1-meter, unit: 2, kind: meter, house: home-1, energy_scale: -1}
      - asset: home-1-battery
        unit: 3
        kind: battery
        house: home-1
        base: 40000                  # where SunSpec begins: 40000, 0 or 50000
        battery:
          capacity_kwh: 9.6
          max_charge_w: 5000
          max_discharge_w: 5000
          min_soc_percent: 5
          max_soc_percent: 100
          start_soc_percent: 50
          charge_efficiency_percent: 95
          discharge_efficiency_percent: 95
          placement: behind_meter    # or own_meter: not seen by the house's meter
      - {asset: home-2-meter, unit: 4, kind: meter, house: home-2}
      # A binding meter measures houses together, with what they share.
      - {asset: house-meter, unit: 9, kind: meter, sums: [home-1, home-2], common_load_w: 120}
#   clients: 1                       # connections at once; another is refused …
#   kick: true                       # … or drops the oldest
#   faults:                          # what goes wrong: docs/simulation.md shows each rule
#     - {when: {percent: 5}, do: {silence: true}}
# Chargers, heat pumps, makers' own registers (profile) and how devices differ from
# what they promise (quirks): docs/simulation.md.
# An address is host:port for Modbus TCP; rtuovertcp://host:port as a converter of a
# serial line speaks; rtu:///dev/ttyUSB0?baud=9600&parity=N&stop=1; or "pty:", a
# pseudo-terminal whose other end a client opens.
`

// The file's form. Pointers tell what was left out from what was written as 0.
type (
	siteFile struct {
		Site      string         `yaml:"site"`
		Latitude  *degrees       `yaml:"latitude"`
		Longitude *degrees       `yaml:"longitude"`
		Seed      uint64         `yaml:"seed"`
		Step      *energy.Span   `yaml:"step"`
		Houses    []houseFile    `yaml:"houses"`
		Listeners []listenerFile `yaml:"listeners"`
	}
	houseFile struct {
		House string `yaml:"house"`
		Load  *struct {
			PerYear energy.Energy `yaml:"kwh_per_year"`
		} `yaml:"load"`
		PV *struct {
			Peak    energy.Power `yaml:"peak_w"`
			Tilt    *degrees     `yaml:"tilt_deg"`
			Azimuth *degrees     `yaml:"azimuth_deg"`
		} `yaml:"pv"`
		Profile *struct {
			Format    string          `yaml:"format"`
			Dir       string          `yaml:"dir"`
			Building  string          `yaml:"building"`
			StartHour int             `yaml:"start_hour"`
			Start     *energy.Instant `yaml:"start"`
		} `yaml:"profile"`
	}
	listenerFile struct {
		Address string       `yaml:"address"`
		Devices []deviceFile `yaml:"devices"`
		Clients int          `yaml:"clients"`
		Kick    bool         `yaml:"kick"`
		Faults  []wire.Rule  `yaml:"faults"`
	}
	deviceFile struct {
		Asset       string       `yaml:"asset"`
		Unit        uint8        `yaml:"unit"`
		Kind        string       `yaml:"kind"`
		House       string       `yaml:"house"`
		Sums        []string     `yaml:"sums"`
		CommonLoad  energy.Power `yaml:"common_load_w"`
		Base        *uint16      `yaml:"base"`
		EnergyScale *int         `yaml:"energy_scale"`
		Battery     *batteryFile `yaml:"battery"`
		Load        *loadFile    `yaml:"load"`
		Limited     []periodFile `yaml:"limited"`
		Profile     string       `yaml:"profile"`
		Control     uint16       `yaml:"control"`
		Rated       energy.Power `yaml:"rated_w"`
		Quirks      quirksFile   `yaml:"quirks"`
		Faults      []wire.Rule  `yaml:"faults"`
	}
	periodFile struct {
		From  energy.Span `yaml:"from"`
		Until energy.Span `yaml:"until"`
	}
	loadFile struct {
		Wants    energy.Power `yaml:"wants_w"`
		Least    energy.Power `yaml:"least_w"`
		MinRun   energy.Span  `yaml:"min_run"`
		MinPause energy.Span  `yaml:"min_pause"`
	}
	quirksFile struct {
		IgnoresReversion    bool          `yaml:"ignores_reversion"`
		DeadTime            energy.Span   `yaml:"dead_time"`
		TimeConstant        energy.Span   `yaml:"time_constant"`
		AtNight             string        `yaml:"at_night"`
		CounterStart        energy.Energy `yaml:"counter_start_kwh"`
		CounterRestartAfter energy.Span   `yaml:"counter_restart_after"`
		Firmware            string        `yaml:"firmware"`
		FirmwareAfter       energy.Span   `yaml:"new_firmware_after"`
		NewFirmware         string        `yaml:"new_firmware"`
		FlipsSign           bool          `yaml:"flips_sign"`
		RivalEvery          energy.Span   `yaml:"second_master_every"`
		RivalPower          energy.Power  `yaml:"second_master_w"`
	}
	batteryFile struct {
		Capacity     energy.Energy `yaml:"capacity_kwh"`
		MaxCharge    energy.Power  `yaml:"max_charge_w"`
		MaxDischarge energy.Power  `yaml:"max_discharge_w"`
		MinSoC       percent       `yaml:"min_soc_percent"`
		MaxSoC       *percent      `yaml:"max_soc_percent"`
		StartSoC     *percent      `yaml:"start_soc_percent"`
		ChargeEff    *percent      `yaml:"charge_efficiency_percent"`
		DischargeEff *percent      `yaml:"discharge_efficiency_percent"`
		Placement    string        `yaml:"placement"`
		SelfConsume  bool          `yaml:"self_consumption"`
	}
)

// fileOptions: a thousand houses take a quarter of the size.
func fileOptions() strictyaml.Options {
	return strictyaml.Options{Start: "see `allmende sim --example` for one to start from"}
}

// LoadSite reads a site file. Folders of profiles are seen from the file.
func LoadSite(path string) (*Site, error) {
	src, err := strictyaml.ReadFile(path, fileOptions())
	if err != nil {
		return nil, fmt.Errorf("site file: %w", err)
	}
	site, err := DecodeSite(path, src)
	if err != nil {
		return nil, err
	}
	for i := range site.Houses {
		if p := site.Houses[i].Profile; p != nil && !filepath.IsAbs(p.Dir) {
			p.Dir = filepath.Join(filepath.Dir(path), p.Dir)
		}
	}
	return site, nil
}

// DecodeSite reads the bytes of a site file strictly; name stands in errors,
// each of which is "name:line: field: what is wrong". All mistakes are reported
// at once.
func DecodeSite(name string, src []byte) (*Site, error) {
	var file siteFile
	doc := strictyaml.Read(name, src, &file, fileOptions())
	site := file.site()
	for _, p := range site.problems() {
		text := p.text
		if p.also != "" {
			text += fmt.Sprintf(" (the first is in line %d)", doc.Line(p.also))
		}
		doc.Problemf(p.path, "%s", text)
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return site, nil
}

// or is *p, or the default where nothing was written.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func (f *siteFile) site() *Site {
	s := &Site{
		ID: f.Site, Latitude: float64(or(f.Latitude, 0)), Longitude: float64(or(f.Longitude, 0)),
		Placed: f.Latitude != nil && f.Longitude != nil,
		Seed:   f.Seed, Step: or(f.Step, defaultStep),
	}
	for _, h := range f.Houses {
		house := House{ID: h.House}
		if h.Load != nil {
			house.Load = &Load{PerYear: h.Load.PerYear}
		}
		if h.PV != nil {
			house.PV = &PV{Peak: h.PV.Peak, Tilt: float64(or(h.PV.Tilt, 30)), Azimuth: float64(or(h.PV.Azimuth, 180))}
		}
		if p := h.Profile; p != nil {
			house.Profile = &Profile{p.Format, p.Dir, p.Building, p.StartHour, or(p.Start, 0)}
		}
		s.Houses = append(s.Houses, house)
	}
	for _, l := range f.Listeners {
		listener := Listener{Address: l.Address, Clients: l.Clients, Kick: l.Kick, Faults: l.Faults}
		for _, d := range l.Devices {
			listener.Devices = append(listener.Devices, d.device())
		}
		s.Listeners = append(s.Listeners, listener)
	}
	return s
}

func (f *deviceFile) device() Device {
	d := Device{
		Asset: roll.AssetID(f.Asset), Unit: f.Unit, Kind: roll.AssetKind(f.Kind), House: f.House,
		Sums: slices.Clone(f.Sums), CommonLoad: f.CommonLoad,
		Base: or(f.Base, defaultBase), EnergyScale: or(f.EnergyScale, -1), Faults: f.Faults,
		Profile: f.Profile, Control: f.Control, Rated: f.Rated, Quirks: Quirks(f.Quirks),
	}
	for _, p := range f.Limited {
		d.Limited = append(d.Limited, Period(p))
	}
	if f.Load != nil {
		load := FlexLoad(*f.Load)
		d.Load = &load
	}
	const one = 10_000 // of percent's ten-thousandths
	if b := f.Battery; b != nil {
		most := or(b.MaxSoC, 100*one)
		d.Battery = &Battery{
			Capacity: b.Capacity, MaxCharge: b.MaxCharge, MaxDischarge: b.MaxDischarge,
			MinSoC: int64(b.MinSoC) / 1000, MaxSoC: int64(most) / 1000,
			StartSoC:  int64(or(b.StartSoC, (b.MinSoC+most)/2)) / 1000,
			ChargeEff: int64(or(b.ChargeEff, 95*one)), DischargeEff: int64(or(b.DischargeEff, 95*one)),
			Placement:       cmp.Or(roll.Placement(b.Placement), roll.BehindMeter),
			SelfConsumption: b.SelfConsume,
		}
	}
	return d
}

// percent is written with at most four decimals and kept in ten-thousandths,
// which are millionths of the whole.
type percent int64

// UnmarshalText reads it.
func (p *percent) UnmarshalText(text []byte) error {
	v, err := energy.ParseKWh(string(text)) // six decimals
	if err != nil || v%100 != 0 {
		return fmt.Errorf("%.40q is not a percentage with at most four decimals, such as 95", text)
	}
	*p = percent(v / 100)
	return nil
}

// degrees say where the sun stands; nothing that is booked comes from them.
type degrees float64

// UnmarshalText reads a number.
func (d *degrees) UnmarshalText(text []byte) error {
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%.40q is not a number of degrees, such as 48.21", text)
	}
	*d = degrees(v)
	return nil
}
