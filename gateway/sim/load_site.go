// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

const (
	mostFile  = 1 << 20 // bytes of a site file
	mostDepth = 32      // of nesting in one line, before a recursive parser sees it
	mostWidth = 1000    // column at which something may still be nested
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

listeners:             # one Modbus TCP port each, with many units behind it
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
`

// The file's form. Pointers tell what was left out from what was written as 0.
type (
	siteFile struct {
		Site      string         `yaml:"site"`
		Latitude  *float64       `yaml:"latitude"`
		Longitude *float64       `yaml:"longitude"`
		Seed      uint64         `yaml:"seed"`
		Step      *span          `yaml:"step"`
		Houses    []houseFile    `yaml:"houses"`
		Listeners []listenerFile `yaml:"listeners"`
	}
	houseFile struct {
		House string `yaml:"house"`
		Load  *struct {
			PerYear kwh `yaml:"kwh_per_year"`
		} `yaml:"load"`
		PV *struct {
			Peak    watts    `yaml:"peak_w"`
			Tilt    *float64 `yaml:"tilt_deg"`
			Azimuth *float64 `yaml:"azimuth_deg"`
		} `yaml:"pv"`
		Profile *struct {
			Format    string   `yaml:"format"`
			Dir       string   `yaml:"dir"`
			Building  string   `yaml:"building"`
			StartHour int      `yaml:"start_hour"`
			Start     *instant `yaml:"start"`
		} `yaml:"profile"`
	}
	listenerFile struct {
		Address string       `yaml:"address"`
		Devices []deviceFile `yaml:"devices"`
	}
	deviceFile struct {
		Asset       string       `yaml:"asset"`
		Unit        uint8        `yaml:"unit"`
		Kind        string       `yaml:"kind"`
		House       string       `yaml:"house"`
		Sums        []string     `yaml:"sums"`
		CommonLoad  watts        `yaml:"common_load_w"`
		Base        *uint16      `yaml:"base"`
		EnergyScale *int         `yaml:"energy_scale"`
		Battery     *batteryFile `yaml:"battery"`
	}
	batteryFile struct {
		Capacity     kwh      `yaml:"capacity_kwh"`
		MaxCharge    watts    `yaml:"max_charge_w"`
		MaxDischarge watts    `yaml:"max_discharge_w"`
		MinSoC       percent  `yaml:"min_soc_percent"`
		MaxSoC       *percent `yaml:"max_soc_percent"`
		StartSoC     *percent `yaml:"start_soc_percent"`
		ChargeEff    *percent `yaml:"charge_efficiency_percent"`
		DischargeEff *percent `yaml:"discharge_efficiency_percent"`
		Placement    string   `yaml:"placement"`
	}
)

// LoadSite reads a site file. Folders of profiles are seen from the file.
func LoadSite(path string) (*Site, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("site file: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	src, err := io.ReadAll(io.LimitReader(f, mostFile+1))
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
// each of which is "name:line: field: what is wrong". All mistakes of meaning
// are reported at once.
func DecodeSite(name string, src []byte) (*Site, error) {
	if len(src) > mostFile {
		return nil, fmt.Errorf("%s: larger than %d bytes: this is no site file, check the path", name, mostFile)
	}
	lines, err := fieldLines(src)
	if err != nil {
		return nil, located(name, err)
	}
	var file siteFile
	dec := yaml.NewDecoder(bytes.NewReader(src), yaml.Strict())
	if err := dec.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: empty: see `allmende sim --example` for one to start from", name)
		}
		return nil, located(name, err)
	}
	site := file.site()
	var errs []error
	for _, p := range site.problems() {
		text := p.text
		if line := lines[p.also]; line > 0 {
			text += fmt.Sprintf(" (the first is in line %d)", line)
		}
		errs = append(errs, fmt.Errorf("%s:%d: %s: %s", name, lineOf(lines, p.path), p.path, text))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return site, nil
}

// lineOf is the line of a field, or of what should hold it.
func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if line, ok := lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1
}

// located puts file and line before goccy's reason.
func located(name string, err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		return fmt.Errorf("%s:%d: %s", name, y.GetToken().Position.Line, y.GetMessage())
	}
	if at, ok := errors.AsType[*lineError](err); ok {
		return fmt.Errorf("%s:%d: %s", name, at.line, at.text)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// lineError is a mistake at a line that we found ourselves.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// fieldLines says in which line each field is, such as "listeners[0].devices[1].unit".
func fieldLines(src []byte) (map[string]int, error) {
	tokens := lexer.Tokenize(string(src))
	depth, entries, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			if entries++; depth == 0 && t.Position.Column > mostWidth {
				entries = mostDepth + 1
			}
		case token.CollectEntryType: // a comma: what follows is beside, not below
			entries = 0
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType:
			return nil, &lineError{t.Position.Line, "anchors, aliases and tags are not read here: write the value out"}
		}
		if depth > mostDepth || entries > mostDepth {
			return nil, &lineError{line, "nested too deep for a site file: write each entry on a line of its own"}
		}
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, err
	}
	lines := map[string]int{}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			note(lines, "", doc.Body)
		}
	}
	return lines, nil
}

func note(lines map[string]int, path string, n ast.Node) {
	if t := n.GetToken(); t != nil && path != "" {
		if _, known := lines[path]; !known {
			lines[path] = t.Position.Line
		}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			note(lines, path, v)
		}
	case *ast.MappingValueNode:
		at := strings.TrimPrefix(path+"."+n.Key.String(), ".")
		lines[at] = n.Key.GetToken().Position.Line
		if n.Value != nil {
			note(lines, at, n.Value)
		}
	case *ast.SequenceNode:
		for i, v := range n.Values {
			if v != nil {
				note(lines, fmt.Sprintf("%s[%d]", path, i), v)
			}
		}
	}
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
		ID: f.Site, Latitude: or(f.Latitude, 0), Longitude: or(f.Longitude, 0),
		Placed: f.Latitude != nil && f.Longitude != nil,
		Seed:   f.Seed, Step: energy.Span(or(f.Step, span(defaultStep))),
	}
	for _, h := range f.Houses {
		house := House{ID: h.House}
		if h.Load != nil {
			house.Load = &Load{PerYear: energy.Energy(h.Load.PerYear)}
		}
		if h.PV != nil {
			house.PV = &PV{Peak: energy.Power(h.PV.Peak), Tilt: or(h.PV.Tilt, 30), Azimuth: or(h.PV.Azimuth, 180)}
		}
		if p := h.Profile; p != nil {
			house.Profile = &Profile{p.Format, p.Dir, p.Building, p.StartHour, energy.Instant(or(p.Start, 0))}
		}
		s.Houses = append(s.Houses, house)
	}
	for _, l := range f.Listeners {
		listener := Listener{Address: l.Address}
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
		Sums: slices.Clone(f.Sums), CommonLoad: energy.Power(f.CommonLoad),
		Base: or(f.Base, defaultBase), EnergyScale: or(f.EnergyScale, -1),
	}
	const one = 10_000 // of percent's ten-thousandths
	if b := f.Battery; b != nil {
		most := or(b.MaxSoC, 100*one)
		d.Battery = &Battery{
			Capacity: energy.Energy(b.Capacity), MaxCharge: energy.Power(b.MaxCharge), MaxDischarge: energy.Power(b.MaxDischarge),
			MinSoC: int64(b.MinSoC) / 1000, MaxSoC: int64(most) / 1000,
			StartSoC:  int64(or(b.StartSoC, (b.MinSoC+most)/2)) / 1000,
			ChargeEff: int64(or(b.ChargeEff, 95*one)), DischargeEff: int64(or(b.DischargeEff, 95*one)),
			Placement: cmp.Or(roll.Placement(b.Placement), roll.BehindMeter),
		}
	}
	return d
}
