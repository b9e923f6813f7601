// SPDX-License-Identifier: AGPL-3.0-or-later

package allocation

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

var noon = SeedOf(energy.Interval{Start: 1_780_315_200_000, Length: energy.QuarterHour})

func oneRound(m charter.Method) *charter.Sharing {
	return &charter.Sharing{ExportingSites: charter.ExportersReceive, Rounds: []charter.Round{{Name: "everybody", Method: m}}}
}

// needs makes members of demands, named a, b, c …
func needs(demand ...int64) []Member {
	in := make([]Member, len(demand))
	for i, d := range demand {
		in[i] = Member{ID: roll.MemberID(fmt.Sprintf("%c", 'a'+i)), Demand: d}
	}
	return in
}

// TestPublishedExamples holds both methods against figures that others published;
// their source rounds each cell by itself, so a watt-hour of difference is allowed.
func TestPublishedExamples(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "vectors", "allocation.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the shared test data is not there: %v", err)
	}
	var file struct {
		Examples []struct {
			Pool int64               `json:"pool_wh"`
			Rows map[string][3]int64 `json:"rows"` // demand, proportional, equal
		} `json:"proportional_and_equal"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Examples) == 0 {
		t.Fatal("no example found in " + path)
	}
	for _, e := range file.Examples {
		var in []Member
		for name, row := range e.Rows {
			in = append(in, Member{ID: roll.MemberID(name), Demand: row[0]})
		}
		for column, method := range []charter.Method{charter.Proportional, charter.Equal} {
			var w Workspace
			shares, _, err := w.Allocate(oneRound(method), in, e.Pool, noon)
			if err != nil {
				t.Fatal(err)
			}
			if got := sumOf(shares); got != e.Pool {
				t.Errorf("%s: shares sum to %d Wh of %d", method, got, e.Pool)
			}
			for i, m := range in {
				want := e.Rows[string(m.ID)][1+column]
				if diff := shares[i] - want; diff > 1 || diff < -1 {
					t.Errorf("%s: %s gets %d Wh, published are %d", method, m.ID, shares[i], want)
				}
			}
		}
	}
}

// TestExplainedExamples holds the figures that charter.Explain tells people.
func TestExplainedExamples(t *testing.T) {
	for _, ex := range []struct {
		method       charter.Method
		demand, want []int64
	}{
		{charter.Equal, []int64{1_000_000, 3_000_000, 5_000_000}, []int64{1_000_000, 2_500_000, 2_500_000}},
		{charter.Proportional, []int64{1_500_000, 3_000_000, 4_500_000}, []int64{1_000_000, 2_000_000, 3_000_000}},
	} {
		var w Workspace
		shares, _, err := w.Allocate(oneRound(ex.method), needs(ex.demand...), 6_000_000, noon)
		if err != nil || !slices.Equal(shares, ex.want) {
			t.Errorf("%s: %v, %v; explained are %v", ex.method, shares, err, ex.want)
		}
	}
}

func TestRoundsGroupsAndCaps(t *testing.T) {
	most := energy.Energy(40)
	rules := &charter.Sharing{ExportingSites: charter.ExportersWait, Rounds: []charter.Round{
		{Name: "families first", Groups: []roll.Group{"families"}, Method: charter.Equal, Cap: &most},
		{Name: "everybody", Method: charter.Proportional},
	}}
	in := []Member{
		{ID: "a", Groups: []roll.Group{"families"}, Demand: 100},
		{ID: "b", Groups: []roll.Group{"quiet", "families"}, Demand: 10},
		{ID: "c", Demand: 60},
		{ID: "d", Demand: 500, Exports: true},
	}
	var w Workspace
	shares, certs, err := w.Allocate(rules, in, 80, noon)
	if err != nil {
		t.Fatal(err)
	}
	// Round 1: a is stopped by the cap at 40, b needs 10. Round 2: 30 for 60 + 60.
	if want := []int64{55, 10, 15, 0}; !slices.Equal(shares, want) {
		t.Errorf("shares %v, want %v", shares, want)
	}
	want := []Certificate{
		{Round: "families first", Method: charter.Equal, Pool: 80, Demand: 50, Shared: 50, LevelNum: 40, LevelDen: 1},
		{Round: "everybody", Method: charter.Proportional, Pool: 30, Demand: 120, Shared: 30, LevelNum: 30, LevelDen: 120},
	}
	if !slices.Equal(certs, want) {
		t.Errorf("certificates %+v, want %+v", certs, want)
	}
}

func TestNobodyAndNothing(t *testing.T) {
	var w Workspace
	for _, method := range []charter.Method{charter.Equal, charter.Proportional} {
		for _, in := range [][]Member{nil, needs(0, 0)} {
			shares, certs, err := w.Allocate(oneRound(method), in, 100, noon)
			if err != nil || sumOf(shares) != 0 || certs[0].LevelDen != 0 {
				t.Errorf("%s, %d members: %v %+v %v", method, len(in), shares, certs, err)
			}
		}
		shares, _, err := w.Allocate(oneRound(method), needs(5, 7), 0, noon)
		if err != nil || sumOf(shares) != 0 {
			t.Errorf("%s with an empty pool: %v %v", method, shares, err)
		}
	}
}

func TestExtremes(t *testing.T) {
	var w Workspace
	for _, method := range []charter.Method{charter.Equal, charter.Proportional} {
		in := needs(math.MaxInt64/2, 1, math.MaxInt64/2)
		for _, pool := range []int64{1, math.MaxInt64/2 - 3, math.MaxInt64 - 1, math.MaxInt64} {
			shares, _, err := w.Allocate(oneRound(method), in, pool, noon)
			if err != nil || sumOf(shares) != min(pool, math.MaxInt64) {
				t.Errorf("%s: %d shared as %v, %v", method, pool, shares, err)
			}
			for i := range shares {
				if shares[i] < 0 || shares[i] > in[i].Demand {
					t.Errorf("%s: %d of %d", method, shares[i], in[i].Demand)
				}
			}
		}
	}
}

func TestSplitOfHugeWeights(t *testing.T) {
	var w Workspace
	dst := make([]int64, 4)
	weights := []int64{math.MaxInt64, math.MaxInt64, -5, 0}
	w.Split(dst, math.MaxInt64, weights, []roll.MemberID{"a", "b", "c", "d"}, noon)
	if sumOf(dst) != math.MaxInt64 || dst[2] != 0 || dst[3] != 0 || dst[0]-dst[1] > 1 || dst[1]-dst[0] > 1 {
		t.Errorf("parts %v", dst)
	}
	if weights[2] != -5 {
		t.Error("Split changed the caller's weights")
	}
}

func TestRefusals(t *testing.T) {
	most := energy.Energy(-1)
	for name, try := range map[string]struct {
		rules *charter.Sharing
		in    []Member
		pool  int64
		want  error
	}{
		"negative pool":   {oneRound(charter.Equal), needs(1), -1, ErrAmount},
		"negative demand": {oneRound(charter.Equal), needs(1, -1), 1, ErrAmount},
		"too much demand": {oneRound(charter.Equal), needs(math.MaxInt64, 1), 1, ErrAmount},
		"too many":        {oneRound(charter.Equal), make([]Member, MaxMembers+1), 1, ErrAmount},
		"no rules":        {nil, needs(1), 1, ErrRule},
		"unknown method":  {oneRound("lottery"), needs(1), 1, ErrRule},
		"negative cap":    {&charter.Sharing{Rounds: []charter.Round{{Method: charter.Equal, Cap: &most}}}, needs(1), 1, ErrRule},
		"too many rounds": {&charter.Sharing{Rounds: make([]charter.Round, charter.MaxRounds+1)}, needs(1), 1, ErrRule},
	} {
		var w Workspace
		if _, _, err := w.Allocate(try.rules, try.in, try.pool, noon); !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
}

// TestRankIsFrozen: ledgers of rules version 1 depend on this order for ever.
// The value is SHA-256 over 16 zero bytes and "anna", computed outside of Go.
func TestRankIsFrozen(t *testing.T) {
	if got, want := Rank(Seed{}, "anna"), uint64(0x0c9c6975bf74d0db); got != want {
		t.Errorf("rank %#x, want %#x", got, want)
	}
	if got, want := noon, (Seed{0, 0, 0x01, 0x9e, 0x83, 0x0e, 0x1a, 0, 0, 0, 0, 0, 0, 0x0d, 0xbb, 0xa0}); got != want {
		t.Errorf("seed % x, want % x", got, want)
	}
}

// TestNobodyIsAlwaysLast: over a day the spare units go round.
func TestNobodyIsAlwaysLast(t *testing.T) {
	const intervals = 960
	var w Workspace
	spare := make([]int64, 3)
	for i := range intervals {
		at := energy.Interval{Start: energy.Instant(i) * energy.Instant(energy.QuarterHour), Length: energy.QuarterHour}
		shares, _, err := w.Allocate(oneRound(charter.Equal), needs(9, 9, 9), 4, SeedOf(at))
		if err != nil {
			t.Fatal(err)
		}
		for k, s := range shares {
			spare[k] += s - 1
		}
	}
	for k, n := range spare {
		if n < intervals/4 || n > intervals/2 {
			t.Errorf("member %d had the spare unit %d times in %d", k, n, intervals)
		}
	}
}

// crowd is a community of n members with plausible demands, in mW, and a pool for some half of them.
func crowd(n int) ([]Member, int64) {
	rnd := rand.New(rand.NewSource(int64(n)))
	in, sum := make([]Member, n), int64(0)
	for i := range in {
		in[i] = Member{ID: roll.MemberID(fmt.Sprint("member-", i)), Demand: rnd.Int63n(4_000_000), Groups: []roll.Group{"flats"}}
		sum += in[i].Demand
	}
	return in, sum/2 - 1234 // not just half: then half of the remainders would be tied
}

func TestTickAllocatesNothing(t *testing.T) {
	in, pool := crowd(1000)
	for _, method := range []charter.Method{charter.Equal, charter.Proportional} {
		var w Workspace
		rules := oneRound(method)
		ids, weights, dst := make([]roll.MemberID, len(in)), make([]int64, len(in)), make([]int64, len(in))
		for i := range in {
			ids[i], weights[i] = in[i].ID, in[i].Demand
		}
		tick := func() {
			if _, _, err := w.Allocate(rules, in, pool, noon); err != nil {
				t.Fatal(err)
			}
			w.Split(dst, pool, weights, ids, noon)
		}
		tick()
		if n := testing.AllocsPerRun(20, tick); n != 0 {
			t.Errorf("%s: %.0f allocations a tick", method, n)
		}
	}
}

func BenchmarkAllocate(b *testing.B) {
	for _, method := range []charter.Method{charter.Equal, charter.Proportional} {
		for _, n := range []int{17, 1_000, 10_000} {
			in, pool := crowd(n)
			benchmark(b, fmt.Sprintf("%s/%d", method, n), oneRound(method), in, pool)
		}
	}
	same, _ := crowd(10_000) // the worst for ties: everybody hashes
	for i := range same {
		same[i].Demand = 1_000_000
	}
	benchmark(b, "equal_all_tied/10000", oneRound(charter.Equal), same, 5_000_000_001)
}

func benchmark(b *testing.B, name string, rules *charter.Sharing, in []Member, pool int64) {
	b.Run(name, func(b *testing.B) {
		var w Workspace
		if _, _, err := w.Allocate(rules, in, pool, noon); err != nil { // buffers grow once
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := w.Allocate(rules, in, pool, noon); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(in)), "ns/member")
	})
}

func BenchmarkSplit(b *testing.B) {
	in, pool := crowd(1000)
	ids, weights, dst := make([]roll.MemberID, len(in)), make([]int64, len(in)), make([]int64, len(in))
	for i := range in {
		ids[i], weights[i] = in[i].ID, in[i].Demand
	}
	var w Workspace
	b.ReportAllocs()
	for b.Loop() {
		w.Split(dst, pool, weights, ids, noon)
	}
}
