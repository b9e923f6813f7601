// SPDX-License-Identifier: AGPL-3.0-or-later

package roll_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

func eurCent(ct int64) energy.Price { return energy.Price{Micro: ct * 1_000_000, Currency: "EUR"} }

func bid(o *roll.Order) roll.Change {
	return roll.Change{
		Op: roll.OpChange, Fields: []string{roll.FieldBid}, Entry: roll.Entry{Member: &roll.Member{ID: "anna", Bid: o}},
	}
}

// TestOrderStandsUntilWithdrawn: a bid is given, replaced as a whole and withdrawn,
// and what it was stays known; the offer beside it is another thing.
func TestOrderStandsUntilWithdrawn(t *testing.T) {
	h := roll.Found(street(), founding)
	offer := &roll.Order{Price: eurCent(8)}
	steps := []roll.Change{
		bid(&roll.Order{Price: eurCent(18), Most: energy.KilowattHour / 2}),
		{Op: roll.OpChange, Fields: []string{roll.FieldOffer}, Entry: roll.Entry{Member: &roll.Member{ID: "anna", Offer: offer}}},
		bid(&roll.Order{Price: eurCent(20)}),
		bid(nil),
	}
	for i, c := range steps {
		c.From = at(2 * i)
		p, err := h.Plan([]roll.Change{c}, rules())
		if err != nil {
			t.Fatal(err)
		}
		h = p.History
	}
	offer.Price = eurCent(1) // nobody's history changes behind her
	for i, want := range []string{
		"18 ct/kWh EUR 0.5 kWh, none", "18 ct/kWh EUR 0.5 kWh, 8 ct/kWh EUR 0 kWh",
		"20 ct/kWh EUR 0 kWh, 8 ct/kWh EUR 0 kWh", "none, 8 ct/kWh EUR 0 kWh",
	} {
		m := h.At(at(2*i + 1)).Members[0]
		if got := say(m.Bid) + ", " + say(m.Offer); got != want {
			t.Errorf("after step %d: %s, want %s", i, got, want)
		}
	}
	if _, err := h.Plan([]roll.Change{bid(nil)}, roll.Rules{Interval: quarter}); err == nil {
		t.Error("a withdrawal before the founding was taken")
	}
	again := bid(nil)
	again.From = at(8)
	if _, err := h.Plan([]roll.Change{again}, rules()); !errors.Is(err, roll.ErrNothing) {
		t.Errorf("withdrawn twice: %v", err)
	}
}

func say(o *roll.Order) string {
	if o == nil {
		return "none"
	}
	return o.Price.String() + " " + o.Most.String()
}

// TestNobodyOrdersForWhatHasBegun: neither a bid nor its withdrawal nor a member who
// comes with one reaches back, while everything else may.
func TestNobodyOrdersForWhatHasBegun(t *testing.T) {
	h := roll.Found(street(), founding)
	r := rules()
	r.Orders = at(5)
	dora := member("dora", "Dora")
	dora.Member.Offer = &roll.Order{Price: eurCent(8)}
	both := roll.Change{
		Op: roll.OpChange, Fields: []string{roll.FieldName, roll.FieldBid},
		Entry: roll.Entry{Member: &roll.Member{ID: "anna", Name: "Anna B.", Bid: &roll.Order{Price: eurCent(9)}}},
	}
	for name, c := range map[string]roll.Change{
		"a bid": bid(&roll.Order{Price: eurCent(18)}), "a withdrawal": bid(nil), "with a name": both,
		"a new member's offer": {Op: roll.OpAdd, Entry: dora},
	} {
		c.From = at(4)
		_, err := h.Plan([]roll.Change{c}, r)
		if err == nil || !strings.Contains(err.Error(), "before the interval begins") || !strings.Contains(err.Error(), at(5).String()) {
			t.Errorf("%s for an interval that has begun: %v", name, err)
		}
	}
	for name, c := range map[string]roll.Change{
		"a new member": {Op: roll.OpAdd, Entry: member("dora", "Dora")},
		"a name":       {Op: roll.OpChange, Fields: []string{roll.FieldName}, Entry: member("anna", "Anna B.")},
	} {
		c.From = at(1)
		if _, err := h.Plan([]roll.Change{c}, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := bid(&roll.Order{Price: eurCent(18)})
	c.From = at(5)
	if _, err := h.Plan([]roll.Change{c}, r); err != nil {
		t.Errorf("a bid in time: %v", err)
	}
}

// TestNobodyLosesAnOrderThatCounted: leaving and coming back in the past would take a
// bid from intervals that were settled by it, so that is refused; leaving is not.
func TestNobodyLosesAnOrderThatCounted(t *testing.T) {
	h := roll.Found(street(), founding)
	ben := bid(&roll.Order{Price: eurCent(18)})
	ben.From, ben.Entry.Member.ID = at(1), "ben"
	p, err := h.Plan([]roll.Change{ben}, rules())
	if err != nil {
		t.Fatal(err)
	}
	r := rules()
	r.Orders = at(9)
	leaves := roll.Change{From: at(3), Op: roll.OpRetire, Entry: member("ben", "")}
	if _, err := p.History.Plan([]roll.Change{leaves}, r); err != nil {
		t.Errorf("she cannot leave: %v", err)
	}
	for from, ok := range map[energy.Instant]bool{at(3): false, at(9): true} {
		back := []roll.Change{{From: from, Op: roll.OpRetire, Entry: member("ben", "")}, {From: from, Op: roll.OpAdd, Entry: member("ben", "Ben"), Again: true}}
		_, err := p.History.Plan(back, r)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "in intervals that have begun") {
			t.Errorf("leaves and comes back at once at %v: %v", from, err)
		}
	}
}

// TestCharterRefusesOrders: what the charter does not take is refused where it is
// set, and may always be withdrawn.
func TestCharterRefusesOrders(t *testing.T) {
	h := roll.Found(street(), founding)
	r := rules()
	r.Order = func(o roll.Order) error {
		if o.Price.Micro > eurCent(30).Micro {
			return errors.New("too much")
		}
		return nil
	}
	dear := bid(&roll.Order{Price: eurCent(31)})
	dear.From = founding
	_, err := h.Plan([]roll.Change{dear}, r)
	if found, ok := errors.AsType[roll.Problems](err); !ok || len(found) != 1 || found[0] != (roll.Problem{Field: "member anna: bid", Reason: "too much"}) {
		t.Errorf("%v", err)
	}
	p, err := h.Plan([]roll.Change{dear}, rules()) // an older charter took it
	if err != nil {
		t.Fatal(err)
	}
	r.Order = func(roll.Order) error { return errors.New("no market") }
	none := bid(nil)
	none.From = at(1)
	if _, err := p.History.Plan([]roll.Change{none}, r); err != nil {
		t.Errorf("what a charter no longer takes cannot be withdrawn: %v", err)
	}
	name := roll.Change{From: at(1), Op: roll.OpChange, Fields: []string{roll.FieldName}, Entry: member("anna", "Anna B.")}
	if _, err := p.History.Plan([]roll.Change{name}, r); err != nil {
		t.Errorf("an order that stands for nothing is in the way of a name: %v", err)
	}
}

// TestOrderChecks: what no register takes, and what it names.
func TestOrderChecks(t *testing.T) {
	for want, o := range map[string]roll.Order{
		"price is missing": {Most: energy.KilowattHour},
		"below zero":       {Price: eurCent(-1)},
		"over a million":   {Price: eurCent(1_000_001)},
		"no currency":      {Price: energy.Price{Micro: 1, Currency: "XXX"}},
		"at most -1 kWh":   {Price: eurCent(1), Most: -energy.KilowattHour},
		"is no amount":     {Price: eurCent(1), Most: 1_000_001 * energy.KilowattHour},
	} {
		c := street()
		c.Members[0].Offer = &o
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "members[0].offer") {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	c := street()
	c.Members[0].Bid = &roll.Order{Price: energy.Price{Currency: "EUR"}} // given away
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// TestOrderUpTo: an order is for what is there, cut to what it says.
func TestOrderUpTo(t *testing.T) {
	var none *roll.Order
	for _, c := range []struct {
		o            *roll.Order
		amount, want energy.Energy
	}{{none, 7, 0}, {&roll.Order{}, 7, 7}, {&roll.Order{Most: 5}, 7, 5}, {&roll.Order{Most: 9}, 7, 7}} {
		if got := c.o.UpTo(c.amount); got != c.want {
			t.Errorf("%+v of %d: %d, want %d", c.o, c.amount, got, c.want)
		}
	}
}

// TestOrderWritten: an order is written one way, and read as what was written.
func TestOrderWritten(t *testing.T) {
	for want, o := range map[string]roll.Order{
		`{"price":"18 ct/kWh EUR","most":"0.500000"}`: {Price: eurCent(18), Most: energy.KilowattHour / 2},
		`{"price":"0 ct/kWh EUR"}`:                    {Price: energy.Price{Currency: "EUR"}},
	} {
		if b, err := json.Marshal(o); err != nil || string(b) != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		o := roll.Order{
			Price: energy.Price{Micro: rapid.Int64Range(0, 1e12).Draw(t, "price"), Currency: rapid.SampledFrom([]energy.Currency{"EUR", "SEK", "JPY"}).Draw(t, "currency")},
			Most:  energy.Energy(rapid.Int64Range(0, 1e12).Draw(t, "most")),
		}
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var back roll.Order
		if err := json.Unmarshal(b, &back); err != nil || back != o || back.Check() != nil {
			t.Fatalf("%+v became %s became %+v: %v, %v", o, b, back, err, back.Check())
		}
	})
}

// TestDifferencesNameOrders: two members differ in their orders, not in where those lie.
func TestDifferencesNameOrders(t *testing.T) {
	a := roll.Entry{Member: &roll.Member{ID: "anna", Bid: &roll.Order{Price: eurCent(8)}}}
	b := roll.Entry{Member: &roll.Member{ID: "anna", Bid: &roll.Order{Price: eurCent(8)}}}
	if !roll.Equal(a, b) || len(roll.Differences(a, b)) != 0 {
		t.Error("equal bids differ")
	}
	b.Member.Bid.Most, b.Member.Offer = 1, &roll.Order{}
	if got := roll.Differences(a, b); !slices.Equal(got, []string{roll.FieldBid, roll.FieldOffer}) {
		t.Errorf("%v", got)
	}
}

// TestWithoutOrders: whatever happens to members, the history without orders is that
// of the same register with nobody's, begins no register for a bid, and Since shows
// at each instant what At does.
func TestWithoutOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := roll.Found(street(), founding)
		for i := range rapid.IntRange(0, 12).Draw(t, "changes") {
			o := rapid.SampledFrom([]*roll.Order{nil, {Price: eurCent(8)}, {Price: eurCent(9), Most: 5}}).Draw(t, "order")
			m := &roll.Member{ID: "anna", Name: rapid.SampledFrom([]string{"Anna", "A."}).Draw(t, "name"), Bid: o, Offer: o}
			c := roll.Change{From: at(rapid.IntRange(i, i+2).Draw(t, "from")), Op: roll.OpChange, Entry: roll.Entry{Member: m}}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				c.Fields = []string{roll.FieldName}
			case 1:
				c.Fields = []string{roll.FieldBid, roll.FieldOffer}
			case 2:
				c.Fields = []string{roll.FieldOffer, roll.FieldName}
			default:
				c.Op, m.ID = roll.OpAdd, roll.MemberID("m"+string(rune('a'+i)))
			}
			if p, err := h.Plan([]roll.Change{c}, rules()); err == nil {
				h = p.History
			}
		}
		plain := h.WithoutOrders()
		for k := range 16 {
			want := h.At(at(k))
			for i := range want.Members {
				want.Members[i].Bid, want.Members[i].Offer = nil, nil
			}
			if got := plain.At(at(k)); !reflect.DeepEqual(got, want) {
				t.Fatalf("at %d: %+v, want %+v", k, got, want)
			}
		}
		for _, h := range []roll.History{h, plain} {
			dated := h.Since(founding)
			for i, d := range dated {
				if want := h.At(d.From); !reflect.DeepEqual(d.Community, want) {
					t.Fatalf("since %v: %+v, want %+v", d.From, d.Community, want)
				}
				next, ok := h.Next(d.From)
				if ok != (i+1 < len(dated)) || ok && next != dated[i+1].From {
					t.Fatalf("after %v: %v %v of %d", d.From, next, ok, len(dated))
				}
			}
			if first, ok := h.Next(founding - 1); !ok || first != founding {
				t.Fatalf("before the founding: %v, %v", first, ok)
			}
		}
	})
}
