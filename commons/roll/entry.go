// SPDX-License-Identifier: AGPL-3.0-or-later

package roll

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Kind says what an entry of the register is.
type Kind string

// Kinds of entries.
const (
	KindCommunity  Kind = "community"
	KindMember     Kind = "member"
	KindConnection Kind = "connection"
	KindSite       Kind = "site"
	KindAsset      Kind = "asset"
	KindGateway    Kind = "gateway"
)

// Kinds are all of them, in an order in which each refers only to those before
// it, but for the meter that binds a connection.
func Kinds() []Kind {
	return []Kind{KindCommunity, KindMember, KindConnection, KindSite, KindGateway, KindAsset}
}

// Entry is one line of the register. Invariant: the field of its kind is set,
// and no other.
type Entry struct {
	Head       *Head
	Member     *Member
	Connection *Connection
	Site       *Site
	Asset      *Asset
	Gateway    *Gateway
}

// Head is what a register says of the community itself.
type Head struct {
	ID       CommunityID
	Name     string
	Timezone string
}

// Ref names an entry: ids are unique within their kind.
type Ref struct {
	Kind Kind
	ID   string
}

// String is such as "member anna".
func (r Ref) String() string { return string(r.Kind) + " " + r.ID }

// Ref is what e is called; zero where e is no entry.
func (e Entry) Ref() Ref {
	switch {
	case e.Head != nil:
		return Ref{KindCommunity, string(e.Head.ID)}
	case e.Member != nil:
		return Ref{KindMember, string(e.Member.ID)}
	case e.Connection != nil:
		return Ref{KindConnection, string(e.Connection.ID)}
	case e.Site != nil:
		return Ref{KindSite, string(e.Site.ID)}
	case e.Asset != nil:
		return Ref{KindAsset, string(e.Asset.ID)}
	case e.Gateway != nil:
		return Ref{KindGateway, string(e.Gateway.ID)}
	}
	return Ref{}
}

// Named is an entry of which only the name is known, to retire it.
func Named(r Ref) Entry {
	switch r.Kind {
	case KindCommunity:
		return Entry{Head: &Head{ID: CommunityID(r.ID)}}
	case KindMember:
		return Entry{Member: &Member{ID: MemberID(r.ID)}}
	case KindConnection:
		return Entry{Connection: &Connection{ID: ConnectionID(r.ID)}}
	case KindSite:
		return Entry{Site: &Site{ID: SiteID(r.ID)}}
	case KindAsset:
		return Entry{Asset: &Asset{ID: AssetID(r.ID)}}
	case KindGateway:
		return Entry{Gateway: &Gateway{ID: GatewayID(r.ID)}}
	}
	return Entry{}
}

// Entries are the lines of a register, in the order of [Kinds] and then in its
// own.
func (c Community) Entries() []Entry {
	out := make([]Entry, 0, 1+len(c.Members)+len(c.Connections)+len(c.Sites)+len(c.Assets)+len(c.Gateways))
	out = append(out, Entry{Head: &Head{c.ID, c.Name, c.Timezone}})
	for i := range c.Members {
		out = append(out, Entry{Member: &c.Members[i]})
	}
	for i := range c.Connections {
		out = append(out, Entry{Connection: &c.Connections[i]})
	}
	for i := range c.Sites {
		out = append(out, Entry{Site: &c.Sites[i]})
	}
	for i := range c.Gateways {
		out = append(out, Entry{Gateway: &c.Gateways[i]})
	}
	for i := range c.Assets {
		out = append(out, Entry{Asset: &c.Assets[i]})
	}
	return out
}

// Fields of entries that a change may name. They are spelled as in the files
// that people write.
const (
	FieldName         = "name"
	FieldGroups       = "groups"
	FieldBid          = "bid"   // as a whole; without one it is withdrawn
	FieldOffer        = "offer" // so too
	FieldMeter        = "meter"
	FieldImportLimit  = "import_limit_w"
	FieldExportLimit  = "export_limit_w"
	FieldIsland       = "island"
	FieldMember       = "member"
	FieldConnection   = "connection"
	FieldLatitude     = "latitude"
	FieldLongitude    = "longitude"
	FieldSite         = "site"
	FieldOwner        = "owner"
	FieldGateway      = "gateway"
	FieldCapacity     = "battery.capacity_kwh"
	FieldMaxCharge    = "battery.max_charge_w"
	FieldMaxDischarge = "battery.max_discharge_w"
	FieldMinSoC       = "battery.min_soc_percent"
	FieldMaxSoC       = "battery.max_soc_percent"
	FieldReserveSoC   = "battery.reserve_soc_percent"
	FieldChargeEff    = "battery.charge_efficiency_percent"
	FieldDischargeEff = "battery.discharge_efficiency_percent"
	FieldPlacement    = "battery.placement"
	FieldDispatchable = "battery.dispatchable"
)

// FieldsOf are the fields of an entry that may change while it stays the same
// thing. Its id and, of connections and assets, its kind may not.
func FieldsOf(e Entry) []string {
	switch {
	case e.Head != nil, e.Gateway != nil:
		return []string{FieldName}
	case e.Member != nil:
		return []string{FieldName, FieldGroups, FieldBid, FieldOffer}
	case e.Connection != nil:
		return []string{FieldMeter, FieldImportLimit, FieldExportLimit, FieldIsland}
	case e.Site != nil:
		return []string{FieldMember, FieldConnection, FieldLatitude, FieldLongitude}
	case e.Asset != nil:
		fields := []string{FieldSite, FieldConnection, FieldOwner, FieldGateway}
		if e.Asset.Battery != nil {
			fields = append(fields, FieldCapacity, FieldMaxCharge, FieldMaxDischarge, FieldMinSoC, FieldMaxSoC,
				FieldReserveSoC, FieldChargeEff, FieldDischargeEff, FieldPlacement, FieldDispatchable)
		}
		return fields
	}
	return nil
}

// clone is a copy that shares nothing with e that anybody changes.
func (e Entry) clone() Entry {
	switch {
	case e.Head != nil:
		c := *e.Head
		return Entry{Head: &c}
	case e.Member != nil:
		c := *e.Member
		c.Groups = slices.Clone(c.Groups)
		c.Bid, c.Offer = c.Bid.copied(), c.Offer.copied()
		return Entry{Member: &c}
	case e.Connection != nil:
		c := *e.Connection
		return Entry{Connection: &c}
	case e.Site != nil:
		c := *e.Site
		return Entry{Site: &c}
	case e.Asset != nil:
		c := *e.Asset
		if c.Battery != nil {
			b := *c.Battery
			c.Battery = &b
		}
		return Entry{Asset: &c}
	case e.Gateway != nil:
		c := *e.Gateway
		return Entry{Gateway: &c}
	}
	return Entry{}
}

// With is a copy of e with the named fields of from, an entry of the same kind.
func (e Entry) With(from Entry, fields []string) Entry {
	out := e.clone()
	for _, f := range fields {
		switch {
		case out.Head != nil && from.Head != nil:
			out.Head.Name = from.Head.Name
		case out.Member != nil && from.Member != nil:
			out.Member.take(from.Member, f)
		case out.Connection != nil && from.Connection != nil:
			out.Connection.take(from.Connection, f)
		case out.Site != nil && from.Site != nil:
			out.Site.take(from.Site, f)
		case out.Asset != nil && from.Asset != nil:
			out.Asset.take(from.Asset, f)
		case out.Gateway != nil && from.Gateway != nil:
			out.Gateway.Name = from.Gateway.Name
		}
	}
	return out
}

func (m *Member) take(from *Member, field string) {
	switch field {
	case FieldName:
		m.Name = from.Name
	case FieldGroups:
		m.Groups = slices.Clone(from.Groups)
	case FieldBid:
		m.Bid = from.Bid.copied()
	case FieldOffer:
		m.Offer = from.Offer.copied()
	}
}

func (c *Connection) take(from *Connection, field string) {
	switch field {
	case FieldMeter:
		c.Meter = from.Meter
	case FieldImportLimit:
		c.ImportLimit = from.ImportLimit
	case FieldExportLimit:
		c.ExportLimit = from.ExportLimit
	case FieldIsland:
		c.Island = from.Island
	}
}

func (s *Site) take(from *Site, field string) {
	switch field {
	case FieldMember:
		s.Member = from.Member
	case FieldConnection:
		s.Connection = from.Connection
	case FieldLatitude:
		s.Latitude = from.Latitude
	case FieldLongitude:
		s.Longitude = from.Longitude
	}
}

func (a *Asset) take(from *Asset, field string) {
	switch field {
	case FieldSite:
		a.Site = from.Site
	case FieldConnection:
		a.Connection = from.Connection
	case FieldOwner:
		a.Owner = from.Owner
	case FieldGateway:
		a.Gateway = from.Gateway
	default:
		if a.Battery != nil && from.Battery != nil {
			a.Battery.take(from.Battery, field)
		}
	}
}

func (b *BatteryData) take(from *BatteryData, field string) {
	switch field {
	case FieldCapacity:
		b.Capacity = from.Capacity
	case FieldMaxCharge:
		b.MaxCharge = from.MaxCharge
	case FieldMaxDischarge:
		b.MaxDischarge = from.MaxDischarge
	case FieldMinSoC:
		b.MinSoC = from.MinSoC
	case FieldMaxSoC:
		b.MaxSoC = from.MaxSoC
	case FieldReserveSoC:
		b.ReserveSoC = from.ReserveSoC
	case FieldChargeEff:
		b.ChargeEff = from.ChargeEff
	case FieldDischargeEff:
		b.DischargeEff = from.DischargeEff
	case FieldPlacement:
		b.Placement = from.Placement
	case FieldDispatchable:
		b.Dispatchable = from.Dispatchable
	}
}

// Differences are the fields in which two entries of one kind differ. It is
// empty for entries that say the same.
func Differences(a, b Entry) []string {
	var out []string
	for _, f := range FieldsOf(a) {
		if !Equal(a, a.With(b, []string{f})) {
			out = append(out, f)
		}
	}
	return out
}

// Equal says whether two entries say the same. No groups and an empty list of
// groups do.
func Equal(a, b Entry) bool {
	if a.Member != nil && b.Member != nil {
		return a.Member.ID == b.Member.ID && a.Member.Name == b.Member.Name && slices.Equal(a.Member.Groups, b.Member.Groups) &&
			sameOrder(a.Member.Bid, b.Member.Bid) && sameOrder(a.Member.Offer, b.Member.Offer)
	}
	return reflect.DeepEqual(a, b)
}

// entryOf finds the entry that a problem's field is about, such as
// "sites[2].member", and the rest of the field. Problems of a whole list have none.
func (c *Community) entryOf(field string) (ref Ref, rest string, ok bool) {
	list, rest, found := strings.Cut(field, "[")
	number, rest, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	if !found || !closed || err != nil || i < 0 {
		return Ref{}, field, false
	}
	rest = strings.TrimPrefix(rest, ".")
	switch {
	case list == "members" && i < len(c.Members):
		return Ref{KindMember, string(c.Members[i].ID)}, rest, true
	case list == "connections" && i < len(c.Connections):
		return Ref{KindConnection, string(c.Connections[i].ID)}, rest, true
	case list == "sites" && i < len(c.Sites):
		return Ref{KindSite, string(c.Sites[i].ID)}, rest, true
	case list == "assets" && i < len(c.Assets):
		return Ref{KindAsset, string(c.Assets[i].ID)}, rest, true
	case list == "gateways" && i < len(c.Gateways):
		return Ref{KindGateway, string(c.Gateways[i].ID)}, rest, true
	}
	return Ref{}, field, false
}
