// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"fmt"
	"math/big"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// world is one random question to an allocation.
type world struct {
	rules charter.Sharing
	in    []Member
	pool  int64
	seed  Seed
}

var scales = []int64{1, 3, 20, 1_000, 250_000, 40_000_000, 1 << 52}

func drawAmount(t *rapid.T, label string) int64 {
	return rapid.Int64Range(0, rapid.SampledFrom(scales).Draw(t, label+" scale")).Draw(t, label)
}

func drawWorld(t *rapid.T, caps bool) world {
	groups := []roll.Group{"flats", "families", "school"}
	var w world
	w.seed = SeedOf(energy.IntervalAt(energy.Instant(rapid.Int64Range(0, 1<<41).Draw(t, "at")), energy.QuarterHour))
	w.rules.ExportingSites = rapid.SampledFrom([]charter.ExportRule{charter.ExportersReceive, charter.ExportersWait}).Draw(t, "exporters")
	for i := range rapid.IntRange(1, 3).Draw(t, "rounds") {
		r := charter.Round{Name: fmt.Sprint("r", i), Method: rapid.SampledFrom([]charter.Method{charter.Equal, charter.Proportional}).Draw(t, "method")}
		r.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 0, 2, rapid.ID).Draw(t, "round's groups")
		if caps && rapid.Bool().Draw(t, "capped") {
			most := energy.Energy(drawAmount(t, "cap"))
			r.Cap = &most
		}
		w.rules.Rounds = append(w.rules.Rounds, r)
	}
	for i := range rapid.IntRange(0, 14).Draw(t, "members") {
		w.in = append(w.in, Member{
			ID:      roll.MemberID(fmt.Sprint("m", i)),
			Groups:  rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 0, 2, rapid.ID).Draw(t, "groups"),
			Demand:  drawAmount(t, "demand"),
			Exports: rapid.IntRange(0, 4).Draw(t, "exports") == 0,
		})
	}
	w.pool = drawAmount(t, "pool")
	return w
}

// run allocates and gives copies, since results live in the workspace.
func (w *world) run(t testing.TB, work *Workspace) ([]int64, []Certificate) {
	shares, certs, err := work.Allocate(&w.rules, w.in, w.pool, w.seed)
	if err != nil {
		t.Fatalf("Allocate: %v", err)
	}
	return slices.Clone(shares), slices.Clone(certs)
}

// eligibleDemand is Σ demand of those whom some round invites.
func (w *world) eligibleDemand() int64 {
	var sum int64
	for _, m := range w.in {
		for i := range w.rules.Rounds {
			if eligible(&w.rules, &w.rules.Rounds[i], &m) {
				sum += m.Demand
				break
			}
		}
	}
	return sum
}

func sumOf(v []int64) (sum int64) {
	for _, x := range v {
		sum += x
	}
	return sum
}

func TestConservation(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true)
		shares, certs := w.run(t, &work)
		for i, s := range shares {
			if s < 0 || s > w.in[i].Demand {
				rt.Fatalf("%s gets %d of a demand of %d", w.in[i].ID, s, w.in[i].Demand)
			}
		}
		var shared int64
		for _, c := range certs {
			if c.Shared != min(c.Pool, c.Demand) || c.Pool != w.pool-shared {
				rt.Fatalf("after %d of %d, certificate %+v", shared, w.pool, c)
			}
			shared += c.Shared
		}
		if got := sumOf(shares); got != shared || got > w.pool {
			rt.Fatalf("shares sum to %d, certificates to %d, the pool was %d", got, shared, w.pool)
		}
	})
}

func TestEfficientWithoutCaps(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, false)
		shares, _ := w.run(t, &work)
		if got, want := sumOf(shares), min(w.pool, w.eligibleDemand()); got != want {
			rt.Fatalf("%d shared, %d could have been", got, want)
		}
	})
}

func TestAgreesWithOracle(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true)
		shares, _ := w.run(t, &work)
		want := allocateSlowly(&w.rules, w.in, w.pool, w.seed)
		for i, s := range shares {
			if id := w.in[i].ID; s != want[id] {
				rt.Fatalf("%s gets %d, the oracle says %d", id, s, want[id])
			}
		}
	})
}

// TestEqualUnitByUnit holds the exact oracle itself against the plainest one.
func TestEqualUnitByUnit(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, false)
		w.rules = charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "all", Method: charter.Equal}}}
		ids, demand := make([]roll.MemberID, len(w.in)), make([]int64, len(w.in))
		for i := range w.in {
			w.in[i].Demand %= 300
			ids[i], demand[i] = w.in[i].ID, w.in[i].Demand
		}
		w.pool %= 4000
		shares, _ := w.run(t, &work)
		if want := equalUnits(w.pool, demand, ids, w.seed); !slices.Equal(shares, want) {
			rt.Fatalf("%d of %v: %v, unit by unit %v", w.pool, demand, shares, want)
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true)
		before, certs := w.run(t, &work)
		want := map[roll.MemberID]int64{}
		for i, m := range w.in {
			want[m.ID] = before[i]
		}
		shuffle := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "shuffle")))
		shuffle.Shuffle(len(w.in), func(a, b int) { w.in[a], w.in[b] = w.in[b], w.in[a] })
		after, certsAfter := w.run(t, &work)
		for i, m := range w.in {
			if after[i] != want[m.ID] {
				rt.Fatalf("%s gets %d, and %d in another order", m.ID, want[m.ID], after[i])
			}
		}
		if !slices.Equal(certs, certsAfter) {
			rt.Fatalf("certificates differ: %+v, %+v", certs, certsAfter)
		}
	})
}

// TestMonotoneInSupply: more in the pool takes nothing from anybody. Largest
// remainders may move a single unit from one to another (the Alabama paradox).
func TestMonotoneInSupply(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true)
		slack := int64(0)
		for _, r := range w.rules.Rounds {
			if r.Method == charter.Proportional {
				slack = 1
			}
		}
		less, _ := w.run(t, &work)
		w.pool += rapid.OneOf(rapid.Just[int64](1), rapid.Int64Range(1, 1<<40)).Draw(rt, "more")
		more, _ := w.run(t, &work)
		for i := range less {
			if more[i] < less[i]-slack {
				rt.Fatalf("%s got %d, and with more to share only %d", w.in[i].ID, less[i], more[i])
			}
		}
	})
}

func TestEqualDemandEqualShare(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true)
		w.rules.Rounds = w.rules.Rounds[:1]
		shares, _ := w.run(t, &work)
		for i, a := range w.in {
			for j, b := range w.in[:i] {
				alike := a.Demand == b.Demand && eligible(&w.rules, &w.rules.Rounds[0], &a) == eligible(&w.rules, &w.rules.Rounds[0], &b)
				if diff := shares[i] - shares[j]; alike && (diff > 1 || diff < -1) {
					rt.Fatalf("%s gets %d, %s gets %d, both need %d", a.ID, shares[i], b.ID, shares[j], a.Demand)
				}
			}
		}
	})
}

// TestCertificateChecksShare: a member can check her line from the level alone.
func TestCertificateChecksShare(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, true)
		w.rules.Rounds = w.rules.Rounds[:1]
		shares, certs := w.run(t, &work)
		c, r := certs[0], &w.rules.Rounds[0]
		var spare int64
		for i, m := range w.in {
			d := m.Demand
			if r.Cap != nil {
				d = min(d, int64(*r.Cap))
			}
			if d == 0 || !eligible(&w.rules, r, &m) {
				continue
			}
			level := new(big.Rat).SetFrac64(c.LevelNum, c.LevelDen)
			exact := new(big.Rat).SetInt64(d)
			if c.Method == charter.Proportional {
				exact.Mul(exact, level)
			} else if level.Cmp(exact) < 0 {
				exact = level
			}
			whole := new(big.Int).Quo(exact.Num(), exact.Denom()).Int64()
			if extra := shares[i] - whole; extra != 0 && (extra != 1 || exact.IsInt()) {
				rt.Fatalf("%s gets %d, the level says %s", m.ID, shares[i], exact.FloatString(3))
			}
			spare += shares[i] - whole
		}
		if spare != c.Remainder {
			rt.Fatalf("%d spare units, certificate %+v", spare, c)
		}
	})
}

func TestSplitLaws(t *testing.T) {
	var work Workspace
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, false)
		ids, weights := make([]roll.MemberID, len(w.in)), make([]int64, len(w.in))
		for i, m := range w.in {
			ids[i], weights[i] = m.ID, m.Demand
		}
		total, sum, dst := w.pool, sumOf(weights), make([]int64, len(w.in))
		work.Split(dst, total, weights, ids, w.seed)
		if want := largestRemainder(total, weights, ids, w.seed); !slices.Equal(dst, want) {
			rt.Fatalf("%d by %v: %v, the oracle says %v", total, weights, dst, want)
		}
		if got := sumOf(dst); sum > 0 && got != total || sum == 0 && got != 0 {
			rt.Fatalf("the parts of %d sum to %d", total, got)
		}
		for i := range dst {
			if total <= sum && dst[i] > weights[i] {
				rt.Fatalf("part %d is over its weight %d", dst[i], weights[i])
			}
		}
		minus := make([]int64, len(dst))
		work.Split(minus, -total, weights, ids, w.seed)
		for i := range dst {
			if minus[i] != -dst[i] {
				rt.Fatalf("%d splits into %v, %d into %v", total, dst, -total, minus)
			}
		}
	})
}
