// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
)

// EncodeCommunity writes a register in the form of community.yaml, so that
// [DecodeCommunity] reads the same register.
func EncodeCommunity(c roll.Community) []byte {
	w := &yamlWriter{}
	w.b.WriteString("# The register of a community, as the database had it.\n")
	w.field("", "id", string(c.ID))
	w.text("", "name", c.Name)
	w.field("", "timezone", c.Timezone)
	w.list("members", len(c.Members))
	for _, m := range c.Members {
		w.field("  - ", "id", string(m.ID))
		w.text("    ", "name", m.Name)
		var groups []string
		for _, g := range m.Groups {
			groups = append(groups, plain(string(g)))
		}
		if len(groups) > 0 {
			w.line("    ", "groups", "["+strings.Join(groups, ", ")+"]")
		}
		w.order("bid", m.Bid)
		w.order("offer", m.Offer)
	}
	w.list("connections", len(c.Connections))
	for _, n := range c.Connections {
		w.field("  - ", "id", string(n.ID))
		w.field("    ", "kind", string(n.Kind))
		w.field("    ", "meter", string(n.Meter))
		if n.ImportLimit != 0 {
			w.line("    ", "import_limit_w", n.ImportLimit.Watts())
		}
		if n.ExportLimit != 0 {
			w.line("    ", "export_limit_w", n.ExportLimit.Watts())
		}
		if n.Island {
			w.line("    ", "island", "true")
		}
	}
	w.list("sites", len(c.Sites))
	for _, s := range c.Sites {
		w.field("  - ", "id", string(s.ID))
		w.field("    ", "member", string(s.Member))
		w.field("    ", "connection", string(s.Connection))
		if s.Latitude != "" {
			w.line("    ", "latitude", s.Latitude)
			w.line("    ", "longitude", s.Longitude)
		}
	}
	w.list("assets", len(c.Assets))
	for _, a := range c.Assets {
		w.field("  - ", "id", string(a.ID))
		w.field("    ", "kind", string(a.Kind))
		w.field("    ", "site", string(a.Site))
		w.field("    ", "connection", string(a.Connection))
		w.field("    ", "owner", string(a.Owner))
		w.field("    ", "gateway", string(a.Gateway))
		w.battery(a.Battery)
	}
	w.list("gateways", len(c.Gateways))
	for _, g := range c.Gateways {
		w.field("  - ", "id", string(g.ID))
		w.text("    ", "name", g.Name)
	}
	return []byte(w.b.String())
}

// yamlWriter writes lines of YAML. Texts get quotation marks always, ids where
// they need them.
type yamlWriter struct{ b strings.Builder }

func (w *yamlWriter) line(indent, name, value string) {
	fmt.Fprintf(&w.b, "%s%s: %s\n", indent, name, value)
}

// field writes an id or a kind; an empty one is left out.
func (w *yamlWriter) field(indent, name, value string) {
	if value != "" {
		w.line(indent, name, plain(value))
	}
}

// plain is a word as YAML takes it for one: what it would take for a number, a
// truth value or nothing stands in quotation marks.
func plain(word string) string {
	switch word {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(word)
	}
	if word[0] >= '0' && word[0] <= '9' {
		return strconv.Quote(word)
	}
	return word
}

// text writes what people write; an empty one is left out.
func (w *yamlWriter) text(indent, name, value string) {
	if value != "" {
		w.line(indent, name, strconv.Quote(value))
	}
}

// list begins a list; an empty one is left out.
func (w *yamlWriter) list(name string, n int) {
	if n > 0 {
		fmt.Fprintf(&w.b, "\n%s:\n", name)
	}
}

func (w *yamlWriter) order(name string, o *roll.Order) {
	if o == nil {
		return
	}
	w.b.WriteString("    " + name + ":\n")
	w.text("      ", "price", o.Price.String())
	if o.Most != 0 {
		w.line("      ", "most_kwh", o.Most.KWh())
	}
}

func (w *yamlWriter) battery(b *roll.BatteryData) {
	if b == nil {
		return
	}
	w.b.WriteString("    battery:\n")
	const in = "      "
	w.line(in, "capacity_kwh", b.Capacity.KWh())
	w.line(in, "max_charge_w", b.MaxCharge.Watts())
	w.line(in, "max_discharge_w", b.MaxDischarge.Watts())
	w.line(in, "min_soc_percent", decimal(b.MinSoC, 10))
	w.line(in, "max_soc_percent", decimal(b.MaxSoC, 10))
	w.line(in, "reserve_soc_percent", decimal(b.ReserveSoC, 10))
	w.line(in, "charge_efficiency_percent", decimal(b.ChargeEff, 10_000))
	w.line(in, "discharge_efficiency_percent", decimal(b.DischargeEff, 10_000))
	w.line(in, "placement", string(b.Placement))
	w.line(in, "dispatchable", strconv.FormatBool(b.Dispatchable))
}

// decimal writes a number of so many parts of one.
func decimal(v, parts int64) string {
	whole, rest := v/parts, v%parts
	if rest == 0 {
		return strconv.FormatInt(whole, 10)
	}
	digits := len(strconv.FormatInt(parts, 10)) - 1
	return strings.TrimRight(fmt.Sprintf("%d.%0*d", whole, digits, rest), "0")
}
