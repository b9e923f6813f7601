// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sim/wire"
)

// Site is a simulated place; [LoadSite] reads one from YAML, where the fields
// have the names in [Example].
type Site struct {
	ID        string
	Latitude  float64 // degrees north
	Longitude float64 // degrees east
	Placed    bool    // latitude and longitude were given
	Seed      uint64
	Step      energy.Span // how long powers stay constant; 0: 1 s
	Houses    []House
	Listeners []Listener
}

// House is a household behind one meter.
type House struct {
	ID      string
	Load    *Load    // synthetic household; nil: none
	PV      *PV      // synthetic roof; nil: none
	Profile *Profile // instead of Load and PV
}

// Load is a synthetic household.
type Load struct {
	PerYear energy.Energy // what it uses in a year, about
}

// PV is a synthetic roof.
type PV struct {
	Peak    energy.Power // at standard test conditions
	Tilt    float64      // degrees from horizontal
	Azimuth float64      // degrees clockwise from north: 180 is south
}

// Profile is a recorded house.
type Profile struct {
	Format    string // "citylearn"
	Dir       string // where schema.json lies
	Building  string // its name there, such as Building_1
	StartHour int    // row of the recording that plays first, from 0
	// Start is the world time at which that row plays. Zero: the full hour in
	// which the simulation was first started.
	Start energy.Instant
}

// Listener is one port, or one serial line.
type Listener struct {
	// Address is host:port (port 0 takes a free one), rtuovertcp://host:port,
	// rtu:///dev/… or "pty:"; see [wire.ParseAddress].
	Address string
	Devices []Device
	Clients int         // connections at once; 0: as many as come
	Kick    bool        // a new client drops the oldest instead of being refused
	Faults  []wire.Rule // of the whole listener
}

// rules are the listener's and then those of its devices, each for its unit only.
func (l Listener) rules() []wire.Rule {
	all := slices.Clone(l.Faults)
	for _, d := range l.Devices {
		for _, r := range d.Faults {
			unit := d.Unit
			r.When.Unit = &unit
			all = append(all, r)
		}
	}
	return all
}

// Device is one unit of a listener.
type Device struct {
	Asset roll.AssetID
	Unit  uint8
	Kind  roll.AssetKind
	House string
	// Sums makes a meter the binding one of a connection: it measures these
	// houses together, and all their batteries. House is then empty.
	Sums []string
	// CommonLoad is what a binding meter sees beside the houses: stairwell, losses.
	CommonLoad energy.Power
	Base       uint16 // SunSpec base address: 40000, 0 or 50000
	// EnergyScale is the power of ten of the 32-bit counters of models 103 and
	// 203 in Wh, −3 to 0. Such a counter starts anew at 2³² counts: at 429
	// MWh with −1.
	EnergyScale int
	Battery     *Battery  // kind battery only
	Load        *FlexLoad // kinds charger and heat_pump only
	// Limited is when a grid operator's contact says that there is a limit.
	Limited []Period
	// Profile names the description of its registers; empty: SunSpec. Devices of
	// one profile and different kinds may share a unit, as those of a hybrid
	// inverter do.
	Profile string
	// Control is the SunSpec model that it is told with: 124 or 704 of a battery
	// (0: 124), 123 or 704 of an inverter (0: it cannot be told).
	Control uint16
	Rated   energy.Power // of an inverter; 0: the peak of its house's roof
	Quirks  Quirks
	Faults  []wire.Rule
}

// Period is a time since the start of the simulation.
type Period struct{ From, Until energy.Span }

// Quirks are how a device differs from what its description promises. Times
// count from the start of the simulation.
type Quirks struct {
	IgnoresReversion bool        // it takes the time and never reverts
	DeadTime         energy.Span // before it follows what it is told
	TimeConstant     energy.Span // with which it then follows
	// AtNight is what an inverter does without sun: "" goes on, "silent" answers
	// nobody, "frozen" shows the last values, "sentinels" shows none, "zeros"
	// shows counters of 0 as well.
	AtNight             string
	CounterStart        energy.Energy // on its counters when the simulation began
	CounterRestartAfter energy.Span   // its counters begin anew; 0: never
	Firmware            string        // its version; empty: 1
	// FirmwareAfter is when it gets another version (0: never), and with
	// FlipsSign its power another sign.
	FirmwareAfter energy.Span
	NewFirmware   string
	FlipsSign     bool
	// A second master writes its own setpoint each so often; 0: there is none.
	RivalEvery energy.Span
	RivalPower energy.Power
}

// Battery is what a battery can do. The names and units are those of the
// community file, so that one can be copied from the other.
type Battery struct {
	Capacity     energy.Energy
	MaxCharge    energy.Power // at its terminals
	MaxDischarge energy.Power
	MinSoC       int64 // permille
	MaxSoC       int64 // permille
	StartSoC     int64 // permille, when first started
	ChargeEff    int64 // millionths: stored / charged
	DischargeEff int64 // millionths: discharged / taken from the stock
	Placement    roll.Placement
	// SelfConsumption makes it cover its house's need while nobody commands it.
	// Otherwise it rests.
	SelfConsumption bool
}

// Bounds of a site.
const (
	mostHouses    = 1000
	mostListeners = 64
	mostBatteries = 8 // of one house
	leastStep     = 100 * energy.Millisecond
	mostStep      = energy.Hour
	defaultStep   = energy.Second
	defaultBase   = 40000
	// A house of more would overflow its counters within years.
	mostPower = 1_000 * energy.Kilowatt
)

// problem is one thing wrong with a site, at a field; also is a second field
// that the message concerns.
type problem struct {
	path, also string
	text       string
}

// Validate says what is wrong with s, everything at once; nil if nothing is.
func (s *Site) Validate() error {
	var errs []error
	for _, p := range s.problems() {
		if p.also != "" {
			p.text += " (see " + p.also + ")"
		}
		errs = append(errs, fmt.Errorf("%s: %s", p.path, p.text))
	}
	return errors.Join(errs...)
}

type checker struct {
	site  *Site
	found []problem
}

func (c *checker) addf(path, format string, args ...any) {
	c.found = append(c.found, problem{path: path, text: fmt.Sprintf(format, args...)})
}

func (s *Site) problems() []problem {
	c := &checker{site: s}
	if !slug(s.ID) {
		c.addf("site", "%q is no id: lower-case letters, digits, '-' and '_', such as lindenweg", s.ID)
	}
	if s.Step < leastStep || s.Step > mostStep {
		c.addf("step", "%s is not between %s and %s", s.Step, leastStep, mostStep)
	}
	if s.Latitude < -90 || s.Latitude > 90 {
		c.addf("latitude", "%g is not between -90 and 90", s.Latitude)
	}
	if s.Longitude < -180 || s.Longitude > 180 {
		c.addf("longitude", "%g is not between -180 and 180", s.Longitude)
	}
	if n := len(s.Houses); n < 1 || n > mostHouses {
		c.addf("houses", "there are %d: a site has 1 to %d", n, mostHouses)
	}
	if n := len(s.Listeners); n < 1 || n > mostListeners {
		c.addf("listeners", "there are %d: a site has 1 to %d", n, mostListeners)
	}
	houses := c.houses()
	c.listeners(houses)
	return c.found
}

// houses checks them and returns each id's path.
func (c *checker) houses() map[string]string {
	paths := map[string]string{}
	for i, h := range c.site.Houses {
		at := fmt.Sprintf("houses[%d]", i)
		if !slug(h.ID) {
			c.addf(at+".house", "%q is no id: lower-case letters, digits, '-' and '_', such as home-1", h.ID)
		}
		if first, twice := paths[h.ID]; twice {
			c.found = append(c.found, problem{at + ".house", first + ".house", fmt.Sprintf("house %s is there twice", h.ID)})
		} else {
			paths[h.ID] = at
		}
		c.house(at, h)
	}
	return paths
}

func (c *checker) house(at string, h House) {
	if h.Profile != nil && (h.PV != nil || h.Load != nil) {
		c.addf(at+".profile", "a recorded house has no load and pv of its own: delete one or the other")
	}
	if p := h.Profile; p != nil {
		if p.Format != "citylearn" {
			c.addf(at+".profile.format", "%q is not known: write citylearn", p.Format)
		}
		if p.Dir == "" || p.Building == "" || strings.ContainsAny(p.Building, `/\`) {
			c.addf(at+".profile", "dir (of schema.json) and building (such as Building_1) are needed")
		}
		if p.StartHour < 0 || p.StartHour > 1_000_000 {
			c.addf(at+".profile.start_hour", "%d is not between 0 and 1000000", p.StartHour)
		}
	}
	if l := h.Load; l != nil && (l.PerYear < 0 || l.PerYear > 1_000_000*energy.KilowattHour) {
		c.addf(at+".load.kwh_per_year", "%s kWh is not between 0 and 1000000", l.PerYear.KWh())
	}
	pv := h.PV
	if pv == nil {
		return
	}
	if !c.site.Placed {
		c.addf(at+".pv", "the sun needs the site's latitude and longitude")
	}
	if pv.Peak < 0 || pv.Peak > mostPower {
		c.addf(at+".pv.peak_w", "%s is not between 0 and %s", pv.Peak, mostPower)
	}
	if pv.Tilt < 0 || pv.Tilt > 90 {
		c.addf(at+".pv.tilt_deg", "%g is not between 0 (flat) and 90 (upright)", pv.Tilt)
	}
	if pv.Azimuth < 0 || pv.Azimuth > 360 {
		c.addf(at+".pv.azimuth_deg", "%g is not between 0 and 360 (south is 180)", pv.Azimuth)
	}
}

// places is what a device must not share with another.
type places struct {
	houses    map[string]string // house → path
	assets    map[roll.AssetID]string
	single    map[string]string // house and kind, where a house has one
	batteries map[string]int
}

func (c *checker) listeners(houses map[string]string) {
	seen := &places{houses: houses, assets: map[roll.AssetID]string{}, single: map[string]string{}, batteries: map[string]int{}}
	addresses := map[string]string{}
	for i, l := range c.site.Listeners {
		at := fmt.Sprintf("listeners[%d]", i)
		if addr, err := wire.ParseAddress(l.Address); err != nil {
			c.addf(at+".address", "%v", err)
		} else if first, twice := addresses[l.Address]; twice && !addr.AnyPort() {
			c.found = append(c.found, problem{at + ".address", first, "two listeners have the address " + l.Address})
		}
		addresses[l.Address] = at + ".address"
		if len(l.Devices) == 0 {
			c.addf(at, "it has no devices: list some, or delete it")
		}
		c.faults(at, l)
		units := map[uint8]string{}
		for j, d := range l.Devices {
			at := fmt.Sprintf("%s.devices[%d]", at, j)
			// Units beyond are for special purposes on a line; over TCP some makers use them.
			special := d.Unit < 1 || d.Unit > 247
			if special && (d.Profile == "" || !strings.HasPrefix(l.Address, "tcp://") && strings.Contains(l.Address, "://")) {
				c.addf(at+".unit", "%d is not between 1 and 247", d.Unit)
			}
			if first, twice := units[d.Unit]; twice && !shares(l.Devices[:j], d) {
				c.found = append(c.found, problem{at + ".unit", first, fmt.Sprintf(
					"two devices on unit %d of %s: only one could answer; give each its own number", d.Unit, l.Address)})
			} else {
				units[d.Unit] = at + ".unit"
			}
			c.device(at, d, seen)
		}
	}
}

// Kinds beyond those that the community's register knows.
const (
	kindCharger  roll.AssetKind = "charger"
	kindHeatPump roll.AssetKind = "heat_pump"
	kindContact  roll.AssetKind = "contact"
)

// shares says whether d may be on a unit with others before it.
func shares(before []Device, d Device) bool {
	for _, o := range before {
		if o.Unit == d.Unit && (d.Profile == "" || o.Profile != d.Profile || o.Kind == d.Kind) {
			return false
		}
	}
	return true
}

// faults checks what a listener and its devices do wrong on purpose.
func (c *checker) faults(at string, l Listener) {
	if l.Clients < 0 || l.Clients > 64 {
		c.addf(at+".clients", "%d is not between 1 and 64", l.Clients)
	}
	if l.Kick && l.Clients == 0 {
		c.addf(at+".kick", "it needs clients: how many there may be before the oldest is dropped")
	}
	rules := len(l.Faults)
	for _, p := range wire.Problems(l.Faults) {
		c.addf(at+".faults"+p.Field, "%s", p.Text)
	}
	for i, d := range l.Devices {
		at := fmt.Sprintf("%s.devices[%d].faults", at, i)
		for j, r := range d.Faults {
			if r.When.Unit != nil {
				c.addf(fmt.Sprintf("%s[%d].when.unit", at, j), "a device's own faults concern its unit only: delete it, or move the rule to the listener")
			}
		}
		for _, p := range wire.Problems(d.Faults) {
			c.addf(at+p.Field, "%s", p.Text)
		}
		rules += len(d.Faults)
	}
	if rules > wire.MostRules {
		c.addf(at, "there are %d rules: at most %d", rules, wire.MostRules)
	}
}

func (c *checker) device(at string, d Device, seen *places) {
	if !slug(string(d.Asset)) {
		c.addf(at+".asset", "%q is no id: lower-case letters, digits, '-' and '_', such as home-1-meter", d.Asset)
	}
	if first, twice := seen.assets[d.Asset]; twice {
		c.found = append(c.found, problem{at + ".asset", first, fmt.Sprintf("asset %s is there twice", d.Asset)})
	} else {
		seen.assets[d.Asset] = at + ".asset"
	}
	if !slices.Contains([]uint16{40000, 0, 50000}, d.Base) {
		c.addf(at+".base", "%d is none of 40000, 0 and 50000, where SunSpec is looked for", d.Base)
	}
	if d.EnergyScale < -3 || d.EnergyScale > 0 {
		c.addf(at+".energy_scale", "%d is not between -3 and 0", d.EnergyScale)
	}
	c.quirks(at+".quirks", d)
	c.control(at, d)
	c.load(at, d)
	if (d.Kind == roll.Battery) != (d.Battery != nil) {
		c.addf(at+".battery", "a device of kind battery, and only such a one, has a section battery")
	}
	switch d.Kind {
	case roll.Inverter, roll.Meter:
		c.single(at, d, seen)
	case roll.Battery:
		c.knownHouse(at+".house", d.House, seen)
		if seen.batteries[d.House]++; seen.batteries[d.House] > mostBatteries {
			c.addf(at, "house %s has more than %d batteries", d.House, mostBatteries)
		}
		if d.Battery != nil {
			c.battery(at+".battery", d.Battery)
		}
	case kindCharger, kindHeatPump:
		c.knownHouse(at+".house", d.House, seen)
		if d.Profile == "" {
			c.addf(at+".profile", "a %s does not speak SunSpec: name a profile", d.Kind)
		}
	case kindContact:
		c.contact(at, d)
	default:
		c.addf(at+".kind", "%q is none of inverter, meter, battery, charger, heat_pump and contact", d.Kind)
	}
}

// single checks what a house has at most one of, and binding meters.
func (c *checker) single(at string, d Device, seen *places) {
	if len(d.Sums) == 0 {
		if d.CommonLoad != 0 {
			c.addf(at+".common_load_w", "only a meter with sums has a common load")
		}
		c.knownHouse(at+".house", d.House, seen)
		key := d.House + " " + string(d.Kind)
		if first, twice := seen.single[key]; twice {
			c.found = append(c.found, problem{at + ".house", first, fmt.Sprintf("house %s has two devices of kind %s", d.House, d.Kind)})
		} else {
			seen.single[key] = at + ".house"
		}
		return
	}
	if d.Kind != roll.Meter || d.House != "" {
		c.addf(at+".sums", "only a meter sums houses, and it then belongs to none of them: delete house or sums")
	}
	if d.CommonLoad < 0 || d.CommonLoad > mostPower {
		c.addf(at+".common_load_w", "%s is not between 0 and %s", d.CommonLoad, mostPower)
	}
	for i, h := range d.Sums {
		c.knownHouse(fmt.Sprintf("%s.sums[%d]", at, i), h, seen)
		if slices.Contains(d.Sums[:i], h) {
			c.addf(fmt.Sprintf("%s.sums[%d]", at, i), "house %s is there twice", h)
		}
	}
}

func (c *checker) knownHouse(at, house string, seen *places) {
	if _, ok := seen.houses[house]; !ok {
		c.addf(at, "there is no house %q: name one of the houses above", house)
	}
}

func (c *checker) battery(at string, b *Battery) {
	if b.Capacity <= 0 || b.Capacity > 100_000*energy.KilowattHour {
		c.addf(at+".capacity_kwh", "%s is not above 0 and at most 100000", b.Capacity.KWh())
	}
	for name, p := range map[string]energy.Power{"max_charge_w": b.MaxCharge, "max_discharge_w": b.MaxDischarge} {
		if p <= 0 || p > mostPower {
			c.addf(at+"."+name, "%s is not above 0 and at most %s", p, mostPower)
		}
	}
	if b.MinSoC < 0 || b.MinSoC >= b.MaxSoC || b.MaxSoC > 1000 {
		c.addf(at+".min_soc_percent", "it must be at least 0 and below max_soc_percent, which is at most 100")
	}
	if b.StartSoC < b.MinSoC || b.StartSoC > b.MaxSoC {
		c.addf(at+".start_soc_percent", "it must lie between min_soc_percent and max_soc_percent")
	}
	for name, eff := range map[string]int64{"charge_efficiency_percent": b.ChargeEff, "discharge_efficiency_percent": b.DischargeEff} {
		if eff < 100_000 || eff > 1_000_000 {
			c.addf(at+"."+name, "it must lie between 10 and 100")
		}
	}
	if b.Placement != roll.BehindMeter && b.Placement != roll.OwnMeter {
		c.addf(at+".placement", "%q is neither behind_meter nor own_meter", b.Placement)
	}
}

// slug says whether s is an id as package roll describes them.
func slug(s string) bool {
	ok, err := regexp.MatchString(`^[a-z0-9][a-z0-9_-]{0,39}$`, s)
	return ok && err == nil
}
