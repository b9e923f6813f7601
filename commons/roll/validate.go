// SPDX-License-Identifier: AGPL-3.0-or-later

package roll

import (
	"errors"
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// Bounds of a register, so that nothing downstream needs a bound of its own.
const (
	MaxMembers  = 10_000
	MaxSites    = 20_000
	MaxAssets   = 50_000
	MaxGateways = 10_000
	maxName     = 200
	maxGroups   = 32
	fullSoC     = 1_000
	wholeEff    = 1_000_000
)

// Limits of a battery's nameplate: the largest that a community could own.
const (
	maxCapacity = 1_000_000 * energy.KilowattHour
	maxPower    = 1_000_000 * energy.Kilowatt
)

// Problem is one thing that is wrong in a register.
type Problem struct {
	Field  string // a path such as "sites[2].member"
	Reason string // what is wrong, and what to do about it
}

// Error says where and what.
func (p Problem) Error() string { return p.Field + ": " + p.Reason }

// Problems are all things that are wrong in a register, in its order.
type Problems []Problem

// Error lists them, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// CheckID says whether s can be an id: a lower-case letter or digit, then up
// to 39 lower-case letters, digits, '-' or '_'.
func CheckID(s string) error {
	const most = 40
	if s == "" {
		return errors.New("the id is missing")
	}
	if len(s) > most {
		return fmt.Errorf("the id is longer than %d characters", most)
	}
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '-' && c != '_') {
			return fmt.Errorf("%q cannot be an id: write it with lower-case letters, digits, '-' and '_', a letter or digit first, such as \"roof-3\"", s)
		}
	}
	return nil
}

// Validate checks the register as a whole: ids, references, one grid meter a
// site, a binding meter behind every one_meter connection, plausible batteries.
// What it returns is a [Problems] with every problem found, or nil.
func (c *Community) Validate() error {
	v := newValidator(c)
	v.head()
	v.members()
	v.gateways()
	v.connections()
	v.sites()
	v.assets()
	v.meters()
	if len(v.found) == 0 {
		return nil
	}
	return v.found
}

// validator carries what the checks share. The maps hold the first element of
// each id.
type validator struct {
	c          *Community
	found      Problems
	member     map[MemberID]bool
	connection map[ConnectionID]*Connection
	site       map[SiteID]*Site
	asset      map[AssetID]*Asset
	gateway    map[GatewayID]bool
}

func newValidator(c *Community) *validator {
	v := &validator{
		c: c, member: map[MemberID]bool{}, connection: map[ConnectionID]*Connection{},
		site: map[SiteID]*Site{}, asset: map[AssetID]*Asset{}, gateway: map[GatewayID]bool{},
	}
	for i := range c.Connections {
		v.connection[c.Connections[i].ID] = &c.Connections[i]
	}
	for i := range c.Sites {
		v.site[c.Sites[i].ID] = &c.Sites[i]
	}
	return v
}

func (v *validator) addf(field, format string, args ...any) {
	v.found = append(v.found, Problem{field, fmt.Sprintf(format, args...)})
}

func (v *validator) id(field, id string, taken bool) {
	if err := CheckID(id); err != nil {
		v.addf(field, "%v", err)
	} else if taken {
		v.addf(field, "%q is there twice: ids are unique within their list, give one of the two another", id)
	}
}

func (v *validator) name(field, name string) {
	if len(name) > maxName {
		v.addf(field, "longer than %d characters: shorten it", maxName)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		v.addf(field, "holds a control character: write the name on one line")
	}
}

func (v *validator) count(field string, n, most int) {
	if n > most {
		v.addf(field, "%d entries, but at most %d: split the community", n, most)
	}
}

func (v *validator) head() {
	v.id("id", string(v.c.ID), false)
	v.name("name", v.c.Name)
	if v.c.Timezone == "" {
		v.addf("timezone", "missing: write an IANA name such as Europe/Vienna, pages cut \"today\" by it")
	}
}

func (v *validator) members() {
	v.count("members", len(v.c.Members), MaxMembers)
	if len(v.c.Members) == 0 {
		v.addf("members", "no members: a community has at least one")
	}
	for i, m := range v.c.Members {
		at := fmt.Sprintf("members[%d]", i)
		v.id(at+".id", string(m.ID), v.member[m.ID])
		v.member[m.ID] = true
		v.name(at+".name", m.Name)
		v.count(at+".groups", len(m.Groups), maxGroups)
		seen := map[Group]bool{}
		for j, g := range m.Groups {
			v.id(fmt.Sprintf("%s.groups[%d]", at, j), string(g), seen[g])
			seen[g] = true
		}
		v.order(at+".bid", m.Bid)
		v.order(at+".offer", m.Offer)
	}
}

func (v *validator) order(field string, o *Order) {
	if o == nil {
		return
	}
	if err := o.Check(); err != nil {
		v.addf(field, "%v", err)
	}
}

func (v *validator) gateways() {
	v.count("gateways", len(v.c.Gateways), MaxGateways)
	for i, g := range v.c.Gateways {
		at := fmt.Sprintf("gateways[%d]", i)
		v.id(at+".id", string(g.ID), v.gateway[g.ID])
		v.gateway[g.ID] = true
		v.name(at+".name", g.Name)
	}
}

func (v *validator) connections() {
	if len(v.c.Connections) == 0 {
		v.addf("connections", "no connections: sites hang under one, add at least one of kind %s", PublicGrid)
	}
	seen := map[ConnectionID]bool{}
	for i, c := range v.c.Connections {
		at := fmt.Sprintf("connections[%d]", i)
		v.id(at+".id", string(c.ID), seen[c.ID])
		seen[c.ID] = true
		if c.ImportLimit < 0 || c.ImportLimit > maxPower {
			v.addf(at+".import_limit_w", "%s is no limit: write the fuse's or contract's watts, or leave it out", c.ImportLimit)
		}
		if c.ExportLimit < 0 || c.ExportLimit > maxPower {
			v.addf(at+".export_limit_w", "%s is no limit: write the contract's watts, or leave it out", c.ExportLimit)
		}
		switch c.Kind {
		case PublicGrid:
			if c.Meter != "" {
				v.addf(at+".meter", "a %s connection has no binding meter: leave it out, or make the kind %s", PublicGrid, OneMeter)
			}
		case OneMeter:
			if c.ID == ConnectionID(GridPool) {
				v.addf(at+".id", "%q is the name of the pool that %s connections share: call this connection something else", c.ID, PublicGrid)
			}
			if c.Meter == "" {
				v.addf(at+".meter", "missing: a %s connection names the meter that binds, an asset of kind %s with connection %q", OneMeter, Meter, c.ID)
			}
		default:
			v.addf(at+".kind", "%q is no kind of connection: write %s or %s", c.Kind, PublicGrid, OneMeter)
		}
	}
}

func (v *validator) sites() {
	v.count("sites", len(v.c.Sites), MaxSites)
	seen := map[SiteID]bool{}
	for i, s := range v.c.Sites {
		at := fmt.Sprintf("sites[%d]", i)
		v.id(at+".id", string(s.ID), seen[s.ID])
		seen[s.ID] = true
		if !v.member[s.Member] {
			v.addf(at+".member", "there is no member %q: write the id of one under members, or add her there", s.Member)
		}
		if v.connection[s.Connection] == nil {
			v.addf(at+".connection", "there is no connection %q: write the id of one under connections, or add it there", s.Connection)
		}
		v.coordinate(at+".latitude", s.Latitude, 90)
		v.coordinate(at+".longitude", s.Longitude, 180)
		if (s.Latitude == "") != (s.Longitude == "") {
			v.addf(at+".latitude", "latitude and longitude come together: give both or none")
		}
	}
}

// coordinate checks decimal degrees without a float: a kilowatt-hour parser
// reads six decimals exactly.
func (v *validator) coordinate(field, s string, most int64) {
	if s == "" {
		return
	}
	d, err := energy.ParseKWh(s)
	if err != nil || d > energy.Energy(most)*energy.KilowattHour || d < -energy.Energy(most)*energy.KilowattHour {
		v.addf(field, "%.40q is not decimal degrees between -%d and %d: write it as 48.2082, at most six decimals", s, most, most)
	}
}

func (v *validator) assets() {
	v.count("assets", len(v.c.Assets), MaxAssets)
	for i := range v.c.Assets {
		a, at := &v.c.Assets[i], fmt.Sprintf("assets[%d]", i)
		v.id(at+".id", string(a.ID), v.asset[a.ID] != nil)
		if v.asset[a.ID] == nil {
			v.asset[a.ID] = a
		}
		if !v.gateway[a.Gateway] {
			v.addf(at+".gateway", "there is no gateway %q: write the id of one under gateways, or add it there", a.Gateway)
		}
		if a.Owner != "" && !v.member[a.Owner] {
			v.addf(at+".owner", "there is no member %q: write a member's id, or leave it out for what the community owns", a.Owner)
		}
		v.place(at, a)
		v.kind(at, a)
	}
}

func (v *validator) place(at string, a *Asset) {
	switch {
	case a.Site != "" && a.Connection != "":
		v.addf(at+".connection", "an asset is at a site or, for a binding meter, at a connection: leave one of the two out")
	case a.Site != "" && v.site[a.Site] == nil:
		v.addf(at+".site", "there is no site %q: write the id of one under sites, or add it there", a.Site)
	case a.Connection != "" && a.Kind != Meter:
		v.addf(at+".connection", "only a binding meter is at a connection: give this %s a site instead", a.Kind)
	case a.Connection != "" && v.connection[a.Connection] == nil:
		v.addf(at+".connection", "there is no connection %q: write the id of one under connections, or add it there", a.Connection)
	case a.Connection != "" && v.connection[a.Connection].Meter != a.ID:
		v.addf(at+".connection", "the binding meter of %q is %q, not this one: write meter: %s at that connection, or give this meter a site", a.Connection, v.connection[a.Connection].Meter, a.ID)
	case a.Site == "" && a.Connection == "":
		v.addf(at+".site", "missing: write the id of the site where the %s is", a.Kind)
	}
}

func (v *validator) kind(at string, a *Asset) {
	switch a.Kind {
	case Meter, Inverter:
		if a.Battery != nil {
			v.addf(at+".battery", "a %s has no battery data: leave them out, or make the kind %s", a.Kind, Battery)
		}
	case Battery:
		if a.Battery == nil {
			v.addf(at+".battery", "missing: a battery states its capacity_kwh, max_charge_w and max_discharge_w")
			return
		}
		v.battery(at+".battery", a.Battery)
	default:
		v.addf(at+".kind", "%q is no kind of asset: write %s, %s or %s", a.Kind, Meter, Inverter, Battery)
	}
}

func (v *validator) battery(at string, b *BatteryData) {
	if b.Capacity <= 0 || b.Capacity > maxCapacity {
		v.addf(at+".capacity_kwh", "%s is no battery's capacity: write the usable kilowatt-hours of its nameplate", b.Capacity)
	}
	if b.MaxCharge <= 0 || b.MaxCharge > maxPower {
		v.addf(at+".max_charge_w", "%s cannot charge a battery: write the watts of its nameplate", b.MaxCharge)
	}
	if b.MaxDischarge <= 0 || b.MaxDischarge > maxPower {
		v.addf(at+".max_discharge_w", "%s cannot discharge a battery: write the watts of its nameplate", b.MaxDischarge)
	}
	if b.MinSoC < 0 || b.MaxSoC > fullSoC || b.MinSoC >= b.MaxSoC {
		v.addf(at+".min_soc_percent", "the state of charge goes from %s to %s: write a minimum of at least 0 below a maximum of at most 100", percent(b.MinSoC), percent(b.MaxSoC))
	}
	if b.ReserveSoC < b.MinSoC || b.ReserveSoC > b.MaxSoC {
		v.addf(at+".reserve_soc_percent", "the owner's reserve of %s is not between the minimum %s and the maximum %s", percent(b.ReserveSoC), percent(b.MinSoC), percent(b.MaxSoC))
	}
	v.efficiency(at+".charge_efficiency_percent", b.ChargeEff)
	v.efficiency(at+".discharge_efficiency_percent", b.DischargeEff)
	if b.Placement != BehindMeter && b.Placement != OwnMeter {
		v.addf(at+".placement", "%q is no placement: write %s where charging raises the site meter's import, %s where the battery is metered beside it", b.Placement, BehindMeter, OwnMeter)
	}
}

// efficiency refuses what no battery has, such as 0.95 taken for a percentage.
func (v *validator) efficiency(field string, millionths int64) {
	const least = wholeEff / 2
	if millionths < least || millionths > wholeEff {
		v.addf(field, "%d.%04d %% is no battery's efficiency: write a percentage between 50 and 100", millionths/10_000, max(millionths%10_000, 0))
	}
}

func percent(permille int64) string {
	if permille%10 == 0 {
		return fmt.Sprintf("%d %%", permille/10)
	}
	return fmt.Sprintf("%d.%d %%", permille/10, max(permille%10, -(permille%10)))
}

// meters checks that each site has one grid meter and each one_meter
// connection its binding meter.
func (v *validator) meters() {
	at := map[SiteID]AssetID{}
	for i, a := range v.c.Assets {
		if a.Kind != Meter || a.Site == "" {
			continue
		}
		if first, taken := at[a.Site]; taken {
			v.addf(fmt.Sprintf("assets[%d].site", i), "site %q has the grid meter %q already: a site has exactly one, make a second site for a second meter", a.Site, first)
			continue
		}
		at[a.Site] = a.ID
	}
	for i, s := range v.c.Sites {
		if _, ok := at[s.ID]; !ok {
			v.addf(fmt.Sprintf("sites[%d]", i), "site %q has no grid meter: add an asset of kind %s with site: %s", s.ID, Meter, s.ID)
		}
	}
	for i, c := range v.c.Connections {
		if c.Kind != OneMeter || c.Meter == "" {
			continue
		}
		m := v.asset[c.Meter]
		if m == nil || m.Kind != Meter || m.Connection != c.ID {
			v.addf(fmt.Sprintf("connections[%d].meter", i), "%q does not bind this connection: add an asset with id: %s, kind: %s, connection: %s", c.Meter, c.Meter, Meter, c.ID)
		}
	}
}
