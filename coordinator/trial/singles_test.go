// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// street is a book of a register's members in which there is always enough sun: the
// i-th needs i kWh in each interval, and more sun than all need comes from the mill.
type street struct {
	shelf
	register *roll.Community
}

func needOf(i int) energy.Energy { return energy.Energy(i+1) * energy.KilowattHour }

func (s street) SettledFrom(_ context.Context, from, _ energy.Instant, _ int) ([]store.SettledRecord, error) {
	if from > 0 {
		return nil, nil
	}
	in := settlement.Input{Interval: energy.IntervalAt(0, energy.QuarterHour), Members: []ledger.MemberRow{
		{Member: "mill", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "mill", Export: 10_000 * energy.KilowattHour}}},
	}}
	for i, m := range s.register.Members {
		in.Members = append(in.Members, ledger.MemberRow{Member: m.ID, Groups: m.Groups, Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: roll.SiteID(m.ID), Import: needOf(i)}}})
	}
	res, err := new(settlement.Settler).Settle(&s.ch, in)
	if err != nil {
		return nil, err
	}
	rows, err := res.Rows(func(roll.AssetID) roll.MemberID { return "" })
	return []store.SettledRecord{{Settled: ledger.IntervalSettled{Interval: in.Interval, Commitments: make([]string, len(rows))}, Rows: rows}}, err
}

func roundFor(t *testing.T, groups ...roll.Group) charter.Charter {
	ch := charterOf(t, "equal-shares")
	ch.RulesVersion, ch.Sharing.Rounds = 2, []charter.Round{{Name: "some", Method: charter.Equal, Groups: groups}}
	return ch
}

// The attack: three charters, each for enough members and no pair of them for nearly
// the same, of whose totals one gives, added and subtracted, what one neighbour
// needs. Not all three may be tried by who may not see her curve.
func TestSeveralQuestionsShowNobody(t *testing.T) {
	register := &roll.Community{}
	for i := range 17 {
		m := roll.Member{ID: roll.MemberID(fmt.Sprintf("m%02d", i))}
		if i < 6 {
			m.Groups = append(m.Groups, "east")
		}
		if i >= 5 && i < 11 { // m05 is in both
			m.Groups = append(m.Groups, "west")
		}
		register.Members = append(register.Members, m)
		register.Sites = append(register.Sites, roll.Site{ID: roll.SiteID(m.ID), Member: m.ID})
	}
	const least = 5
	east, west, both := roundFor(t, "east"), roundFor(t, "west"), roundFor(t, "east", "west")
	ask := func(ch charter.Charter) energy.Energy {
		t.Helper()
		q := Question{Proposed: ch, Until: 1 << 50, Zone: time.UTC}
		got, err := Run(t.Context(), street{shelf{1, charterOf(t, "equal-shares"), nil}, register}, &q, func(int64, int64) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return got.New.Received
	}
	if secret := ask(east) + ask(west) - ask(both); secret != needOf(5) {
		t.Fatalf("the attack gives %v, and she needs %v: it proves nothing", secret, needOf(5))
	}
	refused := 0
	for _, ch := range []charter.Charter{east, west, both} {
		if Singles(&ch, nil, register, least) != "" {
			refused++
		}
	}
	if refused == 0 || refused == 3 {
		t.Errorf("%d of the three questions are refused", refused)
	}
	// What a charter in force tells by its certificates anyway cuts nobody's questions off.
	inForce := roundFor(t, "west")
	if why := Singles(&west, &inForce, register, least); why != "" {
		t.Errorf("west is in force, and may not be tried: %s", why)
	}
	if Singles(&east, &inForce, register, least) == "" {
		t.Error("east less what is known of west is one member")
	}
}

// Whatever charters for groups may be tried, in whatever number: all members of whom
// their totals tell alike are never few.
func TestWhatMayBeAskedNeverCutsFewOff(t *testing.T) {
	groups := []roll.Group{"a", "b", "c", "d"}
	asked := 0
	rapid.Check(t, func(t *rapid.T) {
		register := &roll.Community{}
		for i := range rapid.IntRange(1, 24).Draw(t, "members") {
			m := roll.Member{ID: roll.MemberID(fmt.Sprintf("m%02d", i))}
			for _, g := range groups {
				if rapid.IntRange(0, 2).Draw(t, "in") == 0 {
					m.Groups = append(m.Groups, g)
				}
			}
			register.Members = append(register.Members, m)
			register.Sites = append(register.Sites, roll.Site{ID: roll.SiteID(m.ID), Member: m.ID})
		}
		least := rapid.IntRange(1, 6).Draw(t, "least")
		c := countIn(register, least)
		signature := make([]string, len(c.members)) // of each member: in which of all that may be asked she is
		for range 20 {
			pick := func(what string) []roll.Group {
				return rapid.SliceOfDistinct(rapid.SampledFrom(groups), func(g roll.Group) roll.Group { return g }).Draw(t, what)
			}
			r := charter.Round{Name: "r", Method: charter.Equal, Groups: pick("groups"), Tags: pick("tags")}
			if rapid.Bool().Draw(t, "tiers") {
				r.Method, r.Tiers = charter.Priority, []charter.Tier{{Groups: pick("first")}, {Groups: pick("then")}}
			}
			one := energy.Energy(1)
			r.Cap = &one
			ch := charter.Charter{Sharing: charter.Sharing{Rounds: []charter.Round{r}}}
			if Singles(&ch, nil, register, least) != "" {
				continue
			}
			asked++
			for _, e := range c.eligible(&ch.Sharing) {
				for i := range c.members {
					signature[i] += fmt.Sprint(e.who[i], ";")
				}
			}
		}
		alike := map[string]int{}
		for _, s := range signature {
			alike[s]++
		}
		if len(alike) > 1 {
			for s, n := range alike {
				if n < least {
					t.Fatalf("%d of %d members are alone in what may be asked, at least %d shall be: %s", n, len(c.members), least, s)
				}
			}
		}
	})
	if asked == 0 {
		t.Error("nothing may be asked at all")
	}
}

// A group of few that comes first shows in the others' own shares, though the totals
// stay those of every rule; and prices by the hour would show when.
func TestFewBeforeEverybody(t *testing.T) {
	r := twelve()
	ch := charter.Charter{Sharing: charter.Sharing{Rounds: []charter.Round{
		{Name: "first", Method: charter.Equal, Groups: []roll.Group{"v"}}, {Name: "all", Method: charter.Equal},
	}}}
	if Singles(&ch, nil, r, 5) != "" || Few(&ch, nil, r, 5) == "" || Few(&ch, &ch, r, 5) == "" {
		t.Error("one member before all others is few, and the totals tell nothing of her")
	}
	if Few(&ch, nil, r, 1) != "" {
		t.Error("with 1, every member may know of every other")
	}
	ch.Tariff = &charter.Tariff{Bands: []charter.PriceBand{{From: 60, To: 120}}}
	if Singles(&ch, nil, r, 5) == "" {
		t.Error("prices by the hour tell when she uses energy")
	}
	ch.Sharing.Rounds = slices.Clone(ch.Sharing.Rounds)
	ch.Sharing.Rounds[0].Groups = []roll.Group{"w"}
	if Few(&ch, nil, r, 5) != "" || Singles(&ch, nil, r, 5) != "" {
		t.Error("half of them are not few")
	}
}
