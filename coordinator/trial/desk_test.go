// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a book of two members in so many quarter-hours.
type shelf struct {
	n        int
	ch       charter.Charter
	register []roll.Revision
}

func (s shelf) SettledCount(context.Context, energy.Instant, energy.Instant) (int64, error) {
	return int64(s.n), nil
}

func (s shelf) Register(context.Context) ([]roll.Revision, error) { return s.register, nil }

func (s shelf) Activations(context.Context) ([]store.Activation, error) {
	return []store.Activation{{CharterActivated: ledger.CharterActivated{Charter: s.ch}}}, nil
}

func (s shelf) SettledFrom(_ context.Context, from, _ energy.Instant, limit int) (out []store.SettledRecord, err error) {
	for i := range s.n {
		iv := energy.IntervalAt(energy.Instant(i)*energy.Instant(energy.QuarterHour), energy.QuarterHour)
		if iv.Start < from || len(out) == limit {
			continue
		}
		res, err := new(settlement.Settler).Settle(&s.ch, settlement.Input{Interval: iv, Members: []ledger.MemberRow{
			{Member: "anna", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "a", Export: 500_000}}},
			{Member: "ben", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "b", Import: 400_000}}},
			{Member: "cleo", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "c", Import: 900_000}}},
		}})
		if err != nil {
			return nil, err
		}
		rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
		if err != nil {
			return nil, err
		}
		out = append(out, store.SettledRecord{Settled: ledger.IntervalSettled{Interval: iv, Commitments: make([]string, len(rows))}, Rows: rows})
	}
	return out, nil
}

func charterOf(t *testing.T, name string) charter.Charter {
	t.Helper()
	ch, err := (Text{Template: name}).Decode(&roll.Community{Members: []roll.Member{{ID: "anna", Groups: []roll.Group{"vulnerable"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func (d *Desk) waitFor(t *testing.T, id string, is func(Operation) bool) Operation {
	t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(10 * time.Millisecond) {
		if o, ok := d.Get(id); ok && is(o) {
			return o
		}
	}
	t.Fatalf("%s does not get there", id)
	return Operation{}
}

// One runs at a time, the others wait their turn; too many are refused; cancelling
// and closing end what runs and what waits; what ended is kept for a day.
func TestDesk(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	d := NewDesk(shelf{200, charterOf(t, "equal-shares"), nil}, func() time.Time { return now })
	hold := make(chan struct{})
	d.paused = func(ctx context.Context) {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	q := Question{Proposed: charterOf(t, "proportional"), Until: 1 << 50, Zone: time.UTC}
	begin := func(by string) Operation {
		t.Helper()
		o, err := d.Start(by, "", q)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	running := func(o Operation) bool { return o.State == Running && o.Intervals > 0 }
	first := begin("anna")
	if o := d.waitFor(t, first.ID, running); o.Total != 200 || o.Intervals != page {
		t.Errorf("%d of %d", o.Intervals, o.Total)
	}
	second := begin("anna")
	if _, err := d.Start("anna", "", q); !errors.Is(err, ErrFull) {
		t.Errorf("a third of hers: %v", err)
	}
	for range 2 {
		begin("ben")
		begin("cleo")
	}
	if _, err := d.Start("dora", "", q); !errors.Is(err, ErrFull) {
		t.Errorf("a seventh: %v", err)
	}
	if o, _ := d.Get(second.ID); o.State != Waiting {
		t.Errorf("two run at once: %v", o.State)
	}
	d.Cancel(second.ID)
	d.waitFor(t, second.ID, func(o Operation) bool { return o.State == Cancelled })
	d.Cancel(first.ID)
	d.waitFor(t, first.ID, func(o Operation) bool { return o.State == Cancelled && o.Answer == nil })
	close(hold)
	for _, o := range d.List() {
		if o.State == Cancelled {
			continue
		}
		got := d.waitFor(t, o.ID, func(o Operation) bool { return o.State == Done })
		if got.Answer.Intervals != 200 || got.Answer.Old.Received != 100_000_000 || got.Answer.New.Received != got.Answer.Old.Received || got.Answer.Lose != 1 || got.Answer.Gain != 1 {
			t.Errorf("%+v", got.Answer.Report)
		}
	}
	now = now.Add(keptFor)
	if left := d.List(); len(left) != 0 {
		t.Errorf("%d are kept for more than a day", len(left))
	}
	d.paused = func(ctx context.Context) { <-ctx.Done() }
	last := begin("anna")
	d.waitFor(t, last.ID, running)
	d.Close()
	if o, _ := d.Get(last.ID); o.State != Cancelled {
		t.Errorf("closed, and it is %v", o.State)
	}
	if _, err := d.Start("anna", "", q); !errors.Is(err, ErrFull) {
		t.Errorf("after the end: %v", err)
	}
}

// Every template is read, or says why not; those that name members are told apart.
func TestSingles(t *testing.T) {
	r := &roll.Community{Members: []roll.Member{{ID: "anna", Groups: []roll.Group{"vulnerable"}}, {ID: "ben"}}, Sites: []roll.Site{{ID: "a", Member: "anna"}, {ID: "b", Member: "ben"}}}
	for name, harmless := range map[string]bool{"equal-shares": true, "proportional": true, "needs-first": true, "contribution-weighted": false} {
		ch, err := (Text{Template: name}).Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		if why := Singles(&ch, nil, r, 5); (why == "") != harmless {
			t.Errorf("%s: %q", name, why)
		}
	}
	for _, one := range charters.Templates() {
		ch, err := charters.Decode(one.YAML)
		if err != nil {
			t.Fatal(err)
		}
		s := &ch.Sharing
		if names := len(s.Sources)+len(s.Participation) > 0; names && Singles(&ch, nil, r, 5) == "" {
			t.Errorf("%s names members, and is taken for harmless", one.Name)
		}
	}
	ch := charterOf(t, "needs-first")
	ch.Sharing.Rounds = ch.Sharing.Rounds[:1] // nobody but the group
	if Singles(&ch, nil, r, 5) == "" || Singles(&ch, nil, r, 1) != "" {
		t.Error("a round for one alone is taken for harmless")
	}
}

// twelve have a site; v is one of them, x and y are six each with one in both, z
// is x without her, u the seventh.
func twelve() *roll.Community {
	r := &roll.Community{}
	for i := range 12 {
		m := roll.Member{ID: roll.MemberID(rune('a' + i))}
		for g, in := range map[roll.Group]bool{"v": i == 0, "x": i <= 5, "y": i == 5 || i > 6, "z": i < 5, "w": i < 6, "u": i == 6} {
			if in {
				m.Groups = append(m.Groups, g)
			}
		}
		r.Members = append(r.Members, m)
		r.Sites = append(r.Sites, roll.Site{ID: roll.SiteID(m.ID), Member: m.ID})
	}
	return r
}

// An open round excuses small groups only where everybody gets what is there, and
// who is counted are those who are eligible together.
func TestSinglesBehindOpenRounds(t *testing.T) {
	most, cap1 := charter.Percent(99*charter.Whole/100), energy.Energy(1)
	open := charter.Round{Name: "all", Method: charter.Equal}
	groups := func(g ...roll.Group) charter.Round {
		return charter.Round{Name: "some", Method: charter.Equal, Groups: g}
	}
	sent, both, twelfth := groups("v"), groups("x"), open
	sent.Offer, sent.Rest = &most, charter.RestInjectors
	both.Tags = []roll.Group{"y"}
	twelfth.Cap = &cap1
	tiers := charter.Round{Name: "tiers", Method: charter.Priority, Tiers: []charter.Tier{{Groups: []roll.Group{"w"}}, {Groups: []roll.Group{"x", "v"}}}}
	for name, c := range map[string]struct {
		rounds   []charter.Round
		reserve  []charter.Reserve
		harmless bool
		z        bool // the register has this group
	}{
		"open":                     {[]charter.Round{open}, nil, true, false},
		"one first, open after":    {[]charter.Round{groups("v"), open}, nil, true, false},
		"a reserve for one":        {[]charter.Round{open}, []charter.Reserve{{For: charter.ReserveSolidarity, Percent: most, Groups: []roll.Group{"v"}}}, false, false},
		"the rest is sent away":    {[]charter.Round{sent, open}, nil, false, false},
		"half of them":             {[]charter.Round{groups("x")}, nil, true, false},
		"one in both":              {[]charter.Round{both}, nil, false, false},
		"a cap for all":            {[]charter.Round{twelfth}, nil, true, false},
		"six of twelve, and seven": {[]charter.Round{groups("x"), groups("x", "u")}, nil, false, false},
		"one less than a group":    {[]charter.Round{groups("z")}, nil, false, true},
		"a tier for nobody else":   {[]charter.Round{tiers}, nil, false, false},
	} {
		ch := charter.Charter{Sharing: charter.Sharing{Rounds: c.rounds, Reserve: c.reserve}}
		r := twelve()
		for i := range r.Members {
			r.Members[i].Groups = slices.DeleteFunc(r.Members[i].Groups, func(g roll.Group) bool { return g == "z" && !c.z })
		}
		if why := Singles(&ch, nil, r, 5); (why == "") != c.harmless {
			t.Errorf("%s: %q", name, why)
		}
	}
	// The charge for the grid tells in whose area somebody gave.
	for areas, harmless := range map[string]bool{"x": true, "w": true, "v": false, "x y": false, "x w": true, "z": false, "u": false} {
		ch := charter.Charter{Sharing: charter.Sharing{Rounds: []charter.Round{open}}, Tariff: &charter.Tariff{}}
		for _, g := range strings.Fields(areas) {
			ch.Tariff.Areas = append(ch.Tariff.Areas, charter.Area{Group: roll.Group(g), Level: charter.LocalGrid})
		}
		if why := Singles(&ch, nil, twelve(), 5); (why == "") != harmless {
			t.Errorf("areas %s: %q", areas, why)
		}
	}
}

// Who trades in a market are few, whatever the rounds give to everybody.
func TestSinglesOfMarkets(t *testing.T) {
	open := charter.Sharing{Rounds: []charter.Round{{Name: "all", Method: charter.Equal}}}
	market := open
	market.Market = &charter.Market{}
	for name, ch := range map[string]charter.Charter{"a market": {Sharing: market}, "one on an island": {Sharing: open, Island: &market}} {
		if why := Singles(&ch, nil, twelve(), 5); !strings.Contains(why, "market round") {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// A cap over a day counts over the day, as it does where charters are in force,
// not in each interval by itself; and the day is that of the zone.
func TestCapsOverADayCount(t *testing.T) {
	proposed := charterOf(t, "equal-shares")
	proposed.RulesVersion = 2
	proposed.Sharing.Rounds = []charter.Round{{
		Name: "a little", Method: charter.Equal, CapPeriod: &charter.PeriodCap{Energy: energy.KilowattHour, Per: charter.PerDay},
	}}
	for zone, want := range map[string]energy.Energy{
		"UTC":          2 * energy.KilowattHour, // one day, two who receive
		"Asia/Kolkata": 4 * energy.KilowattHour, // midnight there is half past six in the evening
	} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		q := Question{Proposed: proposed, Until: 1 << 50, Zone: loc}
		got, err := Run(t.Context(), shelf{96, charterOf(t, "equal-shares"), nil}, &q, func(int64, int64) error { return nil })
		if err != nil || got.New.Received != want {
			t.Errorf("%s: they would receive %v, want %v; %v", zone, got.New.Received, want, err)
		}
	}
}
