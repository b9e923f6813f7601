// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/gateway/uplink"
)

// File and folders of a gateway's folder.
const (
	ConfigFile  = "gateway.yaml"
	identityDir = "identity"
	spoolDir    = "spool"
)

// Load reads dir/gateway.yaml.
func Load(dir string) (Config, error) {
	path := filepath.Join(dir, ConfigFile)
	src, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("gateway configuration: %w; `allmende gateway enrol TOKEN --dir %s` writes one to start from", err, dir)
	}
	return Decode(path, src)
}

// Decode reads a configuration strictly. Relative paths in it start at the
// file's folder. The error is a [Problems] with everything that is wrong.
func Decode(file string, src []byte) (Config, error) {
	d := &document{file: file, lines: map[string]int{}}
	dir := filepath.Dir(file)
	c := Config{
		Identity: uplink.PathsIn(filepath.Join(dir, identityDir)),
		Spool:    SpoolConfig{Dir: filepath.Join(dir, spoolDir)},
	}
	if root := d.parse(src); root != nil {
		d.mapping(root, "", d.configFields(&c, dir))
	}
	c = c.withDefaults()
	if len(d.found) == 0 {
		for _, p := range c.check() {
			reason := p.reason
			if line, ok := d.lines[p.other]; ok {
				reason = fmt.Sprintf("%s (the other is on line %d)", reason, line)
			}
			d.addf(d.nearest(p.field), p.field, "%s", reason)
		}
	}
	if err := d.found.orNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// nearest is the line of a field or of what it would be in.
func (d *document) nearest(field string) int {
	for field != "" {
		if line, ok := d.lines[field]; ok {
			return line
		}
		cut := len(field) - 1
		for cut > 0 && field[cut] != '.' && field[cut] != '[' {
			cut--
		}
		field = field[:cut]
	}
	return 0
}

func (d *document) configFields(c *Config, dir string) fields {
	return fields{
		"coordinator": d.value(text(&c.Coordinator)),
		"identity": func(n ast.Node, path string) {
			d.mapping(n, path, fields{
				"key":         d.value(pathIn(dir, &c.Identity.Key)),
				"certificate": d.value(pathIn(dir, &c.Identity.Certificate)),
				"authority":   d.value(pathIn(dir, &c.Identity.Authority)),
			})
		},
		"spool": func(n ast.Node, path string) {
			d.mapping(n, path, fields{
				"dir":       d.value(pathIn(dir, &c.Spool.Dir)),
				"keep_days": d.value(whole(1, 3650, func(v int64) { c.Spool.Keep = energy.Span(v) * energy.Day })),
				"max_mb":    d.value(whole(2, 4<<20, func(v int64) { c.Spool.MaxBytes = v << 20 })),
			})
		},
		"poll":        d.value(span(&c.Poll)),
		"stale_after": d.value(span(&c.StaleAfter)),
		"modbus": func(n ast.Node, path string) {
			d.mapping(n, path, fields{
				"timeout":       d.value(duration(&c.Modbus.Timeout)),
				"connect_delay": d.value(duration(&c.Modbus.ConnectDelay)),
				"request_gap":   d.value(duration(&c.Modbus.RequestGap)),
			})
		},
		"devices": func(n ast.Node, path string) {
			d.list(n, path, func(n ast.Node, path string) {
				var device Device
				d.mapping(n, path, d.deviceFields(&device))
				d.require(path, "asset", "url", "unit")
				c.Devices = append(c.Devices, device)
			})
		},
	}
}

// require reports fields that an entry lacks. (A unit that is left out would
// silently be unit 0.)
func (d *document) require(path string, names ...string) {
	for _, name := range names {
		if _, ok := d.lines[path+"."+name]; !ok {
			d.addf(d.lines[path], path+"."+name, "missing: each device has asset, url and unit")
		}
	}
}

func (d *document) deviceFields(v *Device) fields {
	return fields{
		"asset":     d.value(func(s string) error { v.Asset = roll.AssetID(s); return nil }),
		"url":       d.value(text(&v.URL)),
		"unit":      d.value(whole(0, 255, func(u int64) { v.Unit = uint8(u) })),
		"read_only": d.value(yesNo(&v.ReadOnly)),
		"limits": func(n ast.Node, path string) {
			l := guard.DeviceLimits()
			v.Limits = &l
			d.mapping(n, path, fields{
				"max_charge_w":    d.value(watts(&l.MaxCharge)),
				"max_discharge_w": d.value(watts(&l.MaxDischarge)),
				"min_soc_percent": d.value(percent(&l.MinSoC)),
				"max_soc_percent": d.value(percent(&l.MaxSoC)),
			})
		},
	}
}

func text(to *string) func(string) error {
	return func(s string) error {
		*to = s
		return nil
	}
}

func pathIn(dir string, to *string) func(string) error {
	return func(s string) error {
		if s == "" {
			return fmt.Errorf("no path: write one relative to this file, or remove the line for the default")
		}
		if !filepath.IsAbs(s) {
			s = filepath.Join(dir, s)
		}
		*to = s
		return nil
	}
}

func whole(least, most int64, set func(int64)) func(string) error {
	return func(s string) error {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v < least || v > most {
			return fmt.Errorf("%.40q: write a whole number from %d to %d", s, least, most)
		}
		set(v)
		return nil
	}
}

func yesNo(to *bool) func(string) error {
	return func(s string) error {
		if s != "true" && s != "false" {
			return fmt.Errorf("%.40q: write true or false", s)
		}
		*to = s == "true"
		return nil
	}
}

func duration(to *time.Duration) func(string) error {
	return func(s string) error {
		v, err := time.ParseDuration(s)
		if err != nil || v < 0 {
			return fmt.Errorf("%.40q: write a time such as 500ms, 1s or 2m", s)
		}
		*to = v
		return nil
	}
}

func span(to *energy.Span) func(string) error {
	return func(s string) error {
		var v time.Duration
		if err := duration(&v)(s); err != nil {
			return err
		}
		if v == 0 {
			return fmt.Errorf("%.40q: write a time longer than 0, or remove the line for the default", s)
		}
		*to = energy.SpanOf(v)
		return nil
	}
}

func watts(to *energy.Power) func(string) error {
	return func(s string) error {
		v, err := energy.ParseWatts(s)
		*to = v
		return err
	}
}

// percent reads percent with at most one decimal as permille.
func percent(to *int64) func(string) error {
	return func(s string) error {
		// A watt has three decimals of milliwatts: percent with one decimal is a
		// multiple of a hundred of them.
		v, err := energy.ParseWatts(s)
		if err != nil || v < 0 || v > 100*energy.Watt || v%100 != 0 {
			return fmt.Errorf("%.40q: write percent from 0 to 100 with at most one decimal", s)
		}
		*to = int64(v / 100)
		return nil
	}
}
