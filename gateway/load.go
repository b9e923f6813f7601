// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// File and folders of a gateway's folder.
const (
	ConfigFile  = "gateway.yaml"
	identityDir = "identity"
	spoolDir    = "spool"
)

// Problem is one thing that is wrong in a configuration, and Problems is everything.
type (
	Problem  = strictyaml.Problem
	Problems = strictyaml.Problems
)

// The fields of gateway.yaml. Units stand last in a name. Pointers tell what was
// left out from what was written as 0.
type (
	configFile struct {
		Coordinator string       `yaml:"coordinator"`
		Devices     []deviceFile `yaml:"devices"`
		Poll        period       `yaml:"poll"`
		StaleAfter  period       `yaml:"stale_after"`
		Spool       struct {
			Dir      location `yaml:"dir"`
			KeepDays natural  `yaml:"keep_days"`
			MaxMB    natural  `yaml:"max_mb"`
		} `yaml:"spool"`
		Modbus struct {
			Timeout      wait `yaml:"timeout"`
			ConnectDelay wait `yaml:"connect_delay"`
			RequestGap   wait `yaml:"request_gap"`
		} `yaml:"modbus"`
		Identity location `yaml:"identity"`
	}
	deviceFile struct {
		Asset    string `yaml:"asset"`
		URL      string `yaml:"url"`
		Unit     *uint8 `yaml:"unit"`
		ReadOnly bool   `yaml:"read_only"`
		Limits   *struct {
			MaxCharge    *energy.Power `yaml:"max_charge_w"`
			MaxDischarge *energy.Power `yaml:"max_discharge_w"`
			MinSoC       *percent      `yaml:"min_soc_percent"`
			MaxSoC       *percent      `yaml:"max_soc_percent"`
		} `yaml:"limits"`
	}
)

// fileOptions: the size is that of any configuration.
func fileOptions() strictyaml.Options {
	return strictyaml.Options{Start: "`allmende gateway enrol TOKEN` writes one to start from"}
}

// Load reads dir/gateway.yaml.
func Load(dir string) (Config, error) {
	path := filepath.Join(dir, ConfigFile)
	src, err := strictyaml.ReadFile(path, fileOptions())
	if err != nil {
		return Config{}, fmt.Errorf("gateway configuration: %w; `allmende gateway enrol TOKEN --dir %s` writes one to start from", err, dir)
	}
	return Decode(path, src)
}

// Decode reads a configuration strictly. Relative paths in it start at the
// file's folder. The error is a [Problems] with everything that is wrong.
func Decode(file string, src []byte) (Config, error) {
	var f configFile
	doc := strictyaml.Read(file, src, &f, fileOptions())
	c := f.config(filepath.Dir(file)).withDefaults()
	for i := range f.Devices {
		if f.Devices[i].Unit == nil { // it would silently be unit 0
			doc.Problemf(fmt.Sprintf("devices[%d].unit", i), "missing: each device has asset, url and unit")
		}
	}
	for _, p := range c.check() {
		reason := p.reason
		if p.other != "" {
			reason = fmt.Sprintf("%s (the other is on line %d)", reason, doc.Line(p.other))
		}
		doc.Problemf(p.field, "%s", reason)
	}
	if err := doc.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (f *configFile) config(dir string) Config {
	c := Config{
		Coordinator: f.Coordinator,
		Poll:        energy.Span(f.Poll),
		StaleAfter:  energy.Span(f.StaleAfter),
		Identity:    f.Identity.in(dir, identityDir),
		Spool: SpoolConfig{
			Dir:      f.Spool.Dir.in(dir, spoolDir),
			Keep:     energy.Span(f.Spool.KeepDays) * energy.Day,
			MaxBytes: int64(f.Spool.MaxMB) << 20,
		},
		Modbus: ModbusConfig{
			Timeout:      time.Duration(f.Modbus.Timeout),
			ConnectDelay: time.Duration(f.Modbus.ConnectDelay),
			RequestGap:   time.Duration(f.Modbus.RequestGap),
		},
	}
	for _, d := range f.Devices {
		c.Devices = append(c.Devices, d.device())
	}
	return c
}

func (f *deviceFile) device() Device {
	d := Device{Asset: roll.AssetID(f.Asset), URL: f.URL, Unit: or(f.Unit, 0), ReadOnly: f.ReadOnly}
	if l := f.Limits; l != nil {
		usual := guard.DeviceLimits()
		d.Limits = &guard.Limits{
			MaxCharge:    or(l.MaxCharge, usual.MaxCharge),
			MaxDischarge: or(l.MaxDischarge, usual.MaxDischarge),
			MinSoC:       int64(or(l.MinSoC, percent(usual.MinSoC))),
			MaxSoC:       int64(or(l.MaxSoC, percent(usual.MaxSoC))),
		}
	}
	return d
}

// or is *p, or the default where nothing was written.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// location is a path, relative to the file's folder; empty where none is written.
type location string

// UnmarshalText takes any but an empty one.
func (l *location) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return fmt.Errorf("no path: write one relative to this file, or remove the line for the default")
	}
	*l = location(text)
	return nil
}

func (l location) in(dir, otherwise string) string {
	path := cmp.Or(string(l), otherwise)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// natural is a whole number above 0, and small enough to be counted in any unit.
type natural int64

// UnmarshalText reads it.
func (n *natural) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 10, 32)
	if err != nil || v == 0 {
		return fmt.Errorf("%.40q: write a whole number above 0, or remove the line for the default", text)
	}
	*n = natural(v)
	return nil
}

// wait is a length of wall time; it may be 0.
type wait time.Duration

// UnmarshalText reads it.
func (w *wait) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%.40q: write a time such as 500ms, 1s or 2m", text)
	}
	*w = wait(v)
	return nil
}

// period is a length of world time above 0.
type period energy.Span

// UnmarshalText reads it.
func (p *period) UnmarshalText(text []byte) error {
	var w wait
	if err := w.UnmarshalText(text); err != nil {
		return err
	}
	*p = period(energy.SpanOf(time.Duration(w)))
	if *p == 0 {
		return fmt.Errorf("%.40q: write a time longer than 0, or remove the line for the default", text)
	}
	return nil
}

// percent is written with at most one decimal and kept as permille.
type percent int64

// UnmarshalText reads it.
func (p *percent) UnmarshalText(text []byte) error {
	// A watt has three decimals of milliwatts: percent with one decimal is a
	// multiple of a hundred of them.
	v, err := energy.ParseWatts(string(text))
	if err != nil || v < 0 || v > 100*energy.Watt || v%100 != 0 {
		return fmt.Errorf("%.40q: write percent from 0 to 100 with at most one decimal", text)
	}
	*p = percent(v / 100)
	return nil
}
