// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// law says for which methods a property holds, and why not for the others. Each
// method stands in each law, so that a new one has to be thought of.
type law map[charter.Method]string

const holds = ""

// forEach checks a law's property for the methods for which it holds.
func (l law) forEach(t *testing.T, property func(*rapid.T, *village)) {
	t.Helper()
	for _, m := range charter.Methods() {
		why, thought := l[m]
		if !thought {
			t.Errorf("nobody has said whether this holds for %s", m)
		}
		if why != holds {
			continue
		}
		t.Run(string(m), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) { property(rt, drawOneRound(rt, m)) })
		})
	}
}

// drawOneRound is a village with one round of a method, open to everybody, over
// two sources where the method knows any. The first two members are alike in all
// but their needs.
func drawOneRound(t *rapid.T, m charter.Method) *village {
	v := &village{rules: charter.Sharing{ExportingSites: charter.ExportersReceive}}
	amount := func(name string) int64 {
		return rapid.Int64Range(0, rapid.SampledFrom([]int64{3, 30, 1000, 1 << 40}).Draw(t, name)).Draw(t, name)
	}
	n := rapid.IntRange(2, 7).Draw(t, "members")
	kind := make([]int, n) // who is like whom
	for i := range n {
		v.takers = append(v.takers, Taker{ID: roll.MemberID(fmt.Sprint("m", i))})
		v.fig.Demand = append(v.fig.Demand, amount("need"))
		if i > 1 {
			kind[i] = rapid.IntRange(0, 3).Draw(t, "kind")
		}
	}
	v.fig.Seed = SeedOf(energy.IntervalAt(energy.Instant(rapid.Int64Range(0, 1<<41).Draw(t, "at")), energy.QuarterHour))
	v.parts = []Part{{Source: "roof", ID: "roof"}, {Source: "mill", ID: "mill"}}
	v.fig.Supply = []int64{amount("roof"), amount("mill")}
	r := charter.Round{Name: "all", Method: m}
	weight := [4]int64{}
	for k := range weight {
		weight[k] = rapid.Int64Range(1, 100_000).Draw(t, "weight")
	}
	switch m {
	case charter.Weighted:
		r.Weights = &charter.Weights{}
		for i, x := range v.takers {
			r.Weights.Members = append(r.Weights.Members, charter.MemberWeight{Member: x.ID, Weight: charter.Weight(weight[kind[i]])})
		}
	case charter.Priority:
		r.Tiers = make([]charter.Tier, 2)
		for i, x := range v.takers {
			tier := &r.Tiers[kind[i]%2]
			tier.Members = append(tier.Members, x.ID)
		}
		if len(r.Tiers[1].Members) == 0 {
			r.Tiers = r.Tiers[:1]
		}
	case charter.Static:
		for i, x := range v.takers {
			r.Keys = append(r.Keys, charter.MemberKeys{Member: x.ID, Keys: []charter.Key{{Percent: charter.Percent(weight[kind[i]])}}})
		}
	case charter.Passes, charter.Pairs:
		if m == charter.Passes {
			r.Passes = rapid.IntRange(1, 5).Draw(t, "passes")
		}
		for i, x := range v.takers { // seven keys of a tenth each at most
			r.Keys = append(r.Keys, charter.MemberKeys{Member: x.ID, Keys: []charter.Key{
				{Source: "roof", Percent: charter.Percent(weight[kind[i]])}, {Source: "mill", Percent: charter.Percent(weight[(kind[i]+1)%4])},
			}})
		}
	case charter.Equal, charter.Proportional:
	}
	v.rules.Rounds = []charter.Round{r}
	return v
}

// slack is how many single units the rounding of a method may move to or from one
// member: one a division, and passes and pairs divide each source by itself.
func (v *village) slack() int64 {
	switch r := &v.rules.Rounds[0]; r.Method {
	case charter.Passes:
		return int64(max(r.Passes, 1)) * 2
	case charter.Pairs:
		return 2
	default:
		return 1
	}
}

func everywhere() law {
	l := law{}
	for _, m := range charter.Methods() {
		l[m] = holds
	}
	return l
}

func except(whys map[charter.Method]string) law {
	l := everywhere()
	maps.Copy(l, whys)
	return l
}

// TestEveryMethodConserves: nothing is lost or invented, and nobody gets less than
// nothing or more than she needs.
func TestEveryMethodConserves(t *testing.T) {
	everywhere().forEach(t, func(t *rapid.T, v *village) {
		out := v.run(t)
		for i, s := range out.Shares {
			if s < 0 || s > v.fig.Demand[i] || out.Unmet[i] != v.fig.Demand[i]-s {
				t.Fatalf("%s needs %d, gets %d and still needs %d", v.takers[i].ID, v.fig.Demand[i], s, out.Unmet[i])
			}
		}
		if got, left := sumOf(out.Shares), sumOf(out.Left)+sumOf(out.Back)+sumOf(out.Grid); got+left != sumOf(v.fig.Supply) {
			t.Fatalf("%d shared and %d left of %v", got, left, v.fig.Supply)
		}
	})
}

func TestEveryMethodForgetsOrder(t *testing.T) {
	everywhere().forEach(t, func(t *rapid.T, v *village) {
		want := map[roll.MemberID]int64{}
		for i, s := range v.run(t).Shares {
			want[v.takers[i].ID] = s
		}
		r := &v.rules.Rounds[0]
		shuffle := rand.New(rand.NewSource(rapid.Int64().Draw(t, "shuffle")))
		shuffle.Shuffle(len(v.takers), func(a, b int) {
			v.takers[a], v.takers[b] = v.takers[b], v.takers[a]
			v.fig.Demand[a], v.fig.Demand[b] = v.fig.Demand[b], v.fig.Demand[a]
		})
		shuffle.Shuffle(len(r.Keys), func(a, b int) { r.Keys[a], r.Keys[b] = r.Keys[b], r.Keys[a] })
		shuffle.Shuffle(len(v.parts), func(a, b int) {
			v.parts[a], v.parts[b] = v.parts[b], v.parts[a]
			v.fig.Supply[a], v.fig.Supply[b] = v.fig.Supply[b], v.fig.Supply[a]
		})
		for i, s := range v.run(t).Shares {
			if s != want[v.takers[i].ID] {
				t.Fatalf("%s gets %d, and %d in another order", v.takers[i].ID, want[v.takers[i].ID], s)
			}
		}
	})
}

// TestMoreSunHurtsNobody: more in the pool takes nothing from anybody, but for
// single units of rounding.
func TestMoreSunHurtsNobody(t *testing.T) {
	everywhere().forEach(t, func(t *rapid.T, v *village) {
		less := slices.Clone(v.run(t).Shares)
		slack := v.slack()
		if v.rules.Rounds[0].Method == charter.Passes {
			// A unit more or less in a pass is another supply for the next one, for all.
			slack *= int64(len(v.takers))
		}
		v.fig.Supply[rapid.IntRange(0, 1).Draw(t, "where")] += rapid.OneOf(rapid.Int64Range(1, 10), rapid.Int64Range(1, 1<<40)).Draw(t, "more")
		for i, more := range v.run(t).Shares {
			if more < less[i]-slack {
				t.Fatalf("%s got %d, and with more to share only %d", v.takers[i].ID, less[i], more)
			}
		}
	})
}

// TestAlikeGetAlike: two members whom the rule does not tell apart get the same
// where they need the same, and who needs more gets no less.
func TestAlikeGetAlike(t *testing.T) {
	everywhere().forEach(t, func(t *rapid.T, v *village) {
		if rapid.Bool().Draw(t, "the same need") {
			v.fig.Demand[1] = v.fig.Demand[0]
		}
		out, slack := v.run(t), v.slack()
		a, b := out.Shares[0], out.Shares[1]
		if v.fig.Demand[0] > v.fig.Demand[1] {
			a, b = b, a
		}
		if a > b+slack || v.fig.Demand[0] == v.fig.Demand[1] && b > a+slack {
			t.Fatalf("of needs %v the first two get %v", v.fig.Demand[:2], out.Shares[:2])
		}
	})
}

// TestNobodyWantsToChange: a member who still needs something would not be better
// off with what another got who counts as much as she.
func TestNobodyWantsToChange(t *testing.T) {
	except(map[charter.Method]string{
		charter.Proportional: "each gets the same part of her need, so who needs more gets more, and who needs less may well wish for that",
	}).forEach(t, func(t *rapid.T, v *village) {
		out, slack := v.run(t), v.slack()
		for _, pair := range [][2]int{{0, 1}, {1, 0}} {
			mine, hers := out.Shares[pair[0]], out.Shares[pair[1]]
			if mine < v.fig.Demand[pair[0]] && hers > mine+slack {
				t.Fatalf("of needs %v the first two get %v", v.fig.Demand[:2], out.Shares[:2])
			}
		}
	})
}

// TestLyingDoesNotPay: nobody gets more of what she can use by asking for
// something else than she needs.
func TestLyingDoesNotPay(t *testing.T) {
	except(map[charter.Method]string{
		charter.Proportional: "who asks for more gets more: see TestLyingPaysUnderProportional",
	}).forEach(t, func(t *rapid.T, v *village) {
		who := rapid.IntRange(0, len(v.takers)-1).Draw(t, "who")
		honest, need := v.run(t).Shares[who], v.fig.Demand[who]
		slack := int64(0)
		if v.rules.Rounds[0].Method == charter.Passes {
			slack = v.slack() * int64(len(v.takers)) // her lie moves units between the others, and they move hers in the next pass
		}
		v.fig.Demand[who] = rapid.OneOf(rapid.Int64Range(0, 2*need+10), rapid.Int64Range(0, 1<<41)).Draw(t, "lie")
		if got := min(v.run(t).Shares[who], need); got > honest+slack {
			t.Fatalf("who needs %d gets %d by saying so and %d by saying %d", need, honest, got, v.fig.Demand[who])
		}
	})
}

// TestLyingPaysUnderProportional: six are there for a need of five and one of ten.
// Who says twenty instead of five gets four instead of two.
func TestLyingPaysUnderProportional(t *testing.T) {
	for need, want := range map[int64]int64{5: 2, 20: 4} {
		rules := charter.Sharing{Rounds: []charter.Round{{Name: "all", Method: charter.Proportional}}}
		p, err := NewPlan(&rules, []Taker{{ID: "anna"}, {ID: "ben"}}, []Part{{ID: "pool"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := p.Run(&Figures{Supply: []int64{6}, Demand: []int64{need, 10}})
		if err != nil || out.Shares[0] != want {
			t.Errorf("who says %d gets %v, %v", need, out.Shares, err)
		}
	}
}

// TestNothingIsWasted: nothing stays in the pool while somebody whom the round
// serves still needs it.
func TestNothingIsWasted(t *testing.T) {
	const fixed = "each holds a fixed part, and what one does not need of it goes to nobody else in the round"
	except(map[charter.Method]string{
		charter.Static: fixed, charter.Pairs: fixed,
		charter.Passes: "keys may sum to less than all, and passes end",
	}).forEach(t, func(t *rapid.T, v *village) {
		if got, want := sumOf(v.run(t).Shares), min(sumOf(v.fig.Supply), sumOf(v.fig.Demand)); got != want {
			t.Fatalf("%d shared, %d could have been", got, want)
		}
	})
}

// TestWeightsCount: of two who both need more than they get, who counts twice as
// much gets twice as much, to the unit.
func TestWeightsCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawOneRound(t, charter.Weighted)
		out, w := v.run(t).Shares, v.rules.Rounds[0].Weights.Members
		for i, a := range out {
			for j, b := range out {
				if a < v.fig.Demand[i] && b < v.fig.Demand[j] {
					// a/wa = b/wb = λ, each cut to the unit below or one more
					left, right := big.NewInt(a-1), big.NewInt(b+1)
					left.Mul(left, big.NewInt(int64(w[j].Weight)))
					right.Mul(right, big.NewInt(int64(w[i].Weight)))
					if left.Cmp(right) > 0 {
						t.Fatalf("%s gets %d for a weight of %d, %s %d for %d", v.takers[i].ID, a, w[i].Weight, v.takers[j].ID, b, w[j].Weight)
					}
				}
			}
		}
	})
}

// TestFloorInScarcity: where the floors alone are more than there is, those who
// come first share all of it evenly, and the others get nothing.
func TestFloorInScarcity(t *testing.T) {
	everywhere().forEach(t, func(t *rapid.T, v *village) {
		floor := energy.Energy(rapid.Int64Range(1, 1000).Draw(t, "floor"))
		v.rules.Rounds = append([]charter.Round{{Name: "floor", Method: charter.Equal, Groups: villageGroups[:1], Cap: &floor}}, v.rules.Rounds...)
		var asked int64
		first := make([]bool, len(v.takers))
		for i := range v.takers {
			if first[i] = i == 0 || rapid.Bool().Draw(t, "first"); first[i] {
				v.takers[i].Groups = villageGroups[:1]
				asked += min(v.fig.Demand[i], int64(floor))
			}
		}
		if asked == 0 {
			return
		}
		there := rapid.Int64Range(0, 2*asked).Draw(t, "there")
		v.fig.Supply = []int64{there / 3, there - there/3}
		out := v.run(t)
		least := int64(1 << 62) // of those whose floor is not met
		for i, s := range out.Shares {
			want := min(v.fig.Demand[i], int64(floor))
			switch {
			case first[i] && asked <= there && s < want:
				t.Fatalf("%s gets %d, and her floor is %d", v.takers[i].ID, s, want)
			case asked <= there:
			case !first[i] && s > 0:
				t.Fatalf("%s gets %d while floors are not met", v.takers[i].ID, s)
			case first[i] && s < want:
				least = min(least, s)
			}
		}
		for i, s := range out.Shares {
			if asked > there && first[i] && s > least+1 {
				t.Fatalf("%s gets %d, and another only %d of her floor", v.takers[i].ID, s, least)
			}
		}
	})
}
