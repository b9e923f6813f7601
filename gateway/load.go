// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/internal/settings"
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

// inEmptyFile is what to do about one.
const inEmptyFile = "`allmende gateway enrol TOKEN` writes one to start from"

// Load reads dir/gateway.yaml and the environment.
func Load(dir string) (Config, error) {
	c, _, err := LoadSettings(dir, os.Environ())
	return c, err
}

// LoadSettings is [Load] under an environment, and tells where each value is from.
func LoadSettings(dir string, environ []string) (Config, *settings.Loaded, error) {
	path := filepath.Join(dir, ConfigFile)
	src, err := strictyaml.ReadFile(path, strictyaml.Options{})
	if err != nil {
		return Config{}, nil, fmt.Errorf("gateway configuration: %w; `allmende gateway enrol TOKEN --dir %s` writes one to start from", err, dir)
	}
	return decode(settings.Sources{File: path, Content: src, Environ: environ})
}

// Decode reads a configuration from a file's content alone, strictly. Relative
// paths in it start at the file's folder. The error is a [Problems] with
// everything that is wrong.
func Decode(file string, src []byte) (Config, error) {
	c, _, err := decode(settings.Sources{File: file, Content: src})
	return c, err
}

func decode(src settings.Sources) (Config, *settings.Loaded, error) {
	var c Config
	var devices []deviceFile
	var contacts []contactFile
	loaded, err := gatewaySettings(&c, &devices, &contacts, filepath.Dir(src.File)).Load(src)
	if loaded == nil {
		return Config{}, nil, err
	}
	for i := range devices {
		c.Devices = append(c.Devices, devices[i].device(i, loaded.Report))
		if devices[i].Unit == nil { // it would silently be unit 0
			loaded.Report(fmt.Sprintf("devices[%d].unit", i), "missing: each device has asset, url and unit")
		}
	}
	for i := range contacts {
		c.Contacts = append(c.Contacts, contacts[i].contact(i, loaded.Report))
	}
	switch {
	case c.latitude != nil && c.longitude != nil:
		c.Place = &Place{Latitude: *c.latitude, Longitude: *c.longitude}
	case c.latitude != nil || c.longitude != nil:
		loaded.Report("site.latitude", "write both, site.latitude and site.longitude, or neither")
	}
	c = c.withDefaults()
	for _, p := range c.check() {
		reason := p.reason
		if p.other != "" {
			reason = fmt.Sprintf("%s (the other is on line %d)", reason, loaded.LineOf(p.other))
		}
		loaded.Report(p.field, "%s", reason)
	}
	if err := loaded.Err(); err != nil {
		return Config{}, nil, err
	}
	return c, loaded, nil
}

// or is *p, or the default where nothing was written.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// parseWait reads a length of wall time; it may be 0.
func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%.40q: write a time such as 500ms, 1s or 2m", text)
	}
	return d, nil
}

// parsePeriod reads a length of world time above 0.
func parsePeriod(text string) (energy.Span, error) {
	d, err := parseWait(text)
	if err != nil {
		return 0, err
	}
	s := energy.SpanOf(d)
	if s == 0 {
		return 0, fmt.Errorf("%.40q: write a time longer than 0, or remove the line for the default", text)
	}
	return s, nil
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
