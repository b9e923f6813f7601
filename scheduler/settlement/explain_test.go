// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement_test

import (
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

var (
	sumText   = regexp.MustCompile(`(?:(\d+) × )?(\d+) ÷ (\d+) = (\d+)(?:, remainder (\d+))?`)
	lastText  = regexp.MustCompile(`(?:: |that is )([0-9.]+) kWh\.$`)
	noneWords = []string{"Nothing was needed", "nothing to give", "weight in this round is 0"}
)

// TestExplanationsAreRight reads the explanations as a member would, with paper
// and pencil: each division is right, each line ends with what the round gave,
// and the rounds add up to what was booked.
func TestExplanationsAreRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch, in := anyCharter(t), anyInput(t)
		res := settle(t, ch, in)
		settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: ch.RulesVersion, Pools: res.Pools}
		all := strings.Join(ch.Explain(), "\n")
		for i := range res.Members {
			m := &res.Members[i]
			e, err := settlement.Explain(ch, &settled, m)
			if err != nil {
				t.Fatal(err)
			}
			if !e.Checked || strings.Contains(e.Sum, "but") {
				t.Fatalf("what is right is not found so: %+v", e)
			}
			for _, r := range e.Rounds {
				readArithmetic(t, &r)
				if r.Says == "" || !strings.Contains(all, r.Says) {
					t.Fatalf("round %q is explained by %q, which is no sentence of the charter's:\n%s", r.Certificate.Round, r.Says, all)
				}
			}
			m.Share++
			if e, err = settlement.Explain(ch, &settled, m); err != nil || ch.RulesVersion > 1 && e.Checked {
				t.Fatalf("a unit too many is not noticed: %+v, %v", e, err)
			}
			m.Share--
		}
	})
}

func readArithmetic(t *rapid.T, r *settlement.ExplainedRound) {
	text := r.Arithmetic
	readDivision(t, text)
	readEnd(t, r)
}

// readDivision does the division of a text again, if there is one.
func readDivision(t *rapid.T, text string) {
	if s := sumText.FindStringSubmatch(text); s != nil {
		number := func(s string) *big.Int {
			n, ok := new(big.Int).SetString(s, 10)
			if !ok {
				return big.NewInt(0)
			}
			return n
		}
		left := number(s[2])
		if s[1] != "" {
			left.Mul(left, number(s[1]))
		}
		right := new(big.Int).Mul(number(s[4]), number(s[3]))
		if right.Add(right, number(s[5])).Cmp(left) != 0 {
			t.Fatalf("a division is wrong in %q", text)
		}
	}
}

// readEnd compares a text's end with what the round gave.
func readEnd(t *rapid.T, r *settlement.ExplainedRound) {
	text := r.Arithmetic
	for _, w := range noneWords {
		if strings.Contains(text, w) {
			if r.Got != 0 {
				t.Fatalf("%v from nothing: %q", r.Got, text)
			}
			return
		}
	}
	end := lastText.FindStringSubmatch(text)
	if end == nil {
		t.Fatalf("no end: %q", text)
	}
	if got, err := energy.ParseKWh(end[1]); err != nil || got != r.Got {
		t.Fatalf("%q, but she got %v", text, r.Got)
	}
}

// TestExplainInWords: a member reads the charter's sentence, her sums, and why
// a round was not for her.
func TestExplainInWords(t *testing.T) {
	floor := energy.Energy(200_000)
	ch := &charter.Charter{
		Charter: charter.Format, Name: "Ours", RulesVersion: 2, Interval: energy.QuarterHour, Currency: "EUR",
		Sharing: charter.Sharing{ExportingSites: charter.ExportersWait, Rounds: []charter.Round{
			{Name: "floor", Groups: []roll.Group{"vulnerable"}, Method: charter.Equal, Cap: &floor},
			{Name: "everybody", Method: charter.Equal},
		}},
		Residual: charter.Residual{By: charter.ResidualEqual}, Storage: charter.Storage{Use: charter.StorageShared},
	}
	in := settlement.Input{Interval: energy.IntervalAt(0, energy.QuarterHour), Members: []ledger.MemberRow{
		{Member: "anna", Pool: roll.GridPool, Groups: []roll.Group{"vulnerable"}, Sites: []ledger.SiteInput{{Site: "a", Import: 900_000}}},
		{Member: "ben", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "b", Import: 700_001}}},
		{Member: "carl", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "c", Import: 5, Export: 600_001}}},
	}}
	var s settlement.Settler
	res, err := s.Settle(ch, in)
	if err != nil {
		t.Fatal(err)
	}
	settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: 2, Pools: res.Pools}
	said := map[string]string{}
	for i := range res.Members {
		e, err := settlement.Explain(ch, &settled, &res.Members[i])
		if err != nil || !e.Checked {
			t.Fatalf("%+v, %v", e, err)
		}
		text := strings.Join(e.Remarks, "\n") + "\n" + e.Sum
		for _, r := range e.Rounds {
			text += "\n" + r.Says + "\n" + r.Arithmetic
		}
		said[string(res.Members[i].Member)] = text
	}
	for who, want := range map[string][]string{
		"anna": {"vulnerable", "There was enough for everybody in this round, so all that was needed: 0.2 kWh.", "The rest, 0.", "came from the grid", ", as booked."},
		"ben":  {"Round “floor” was not for this member.", "400001 ÷ 2 = 200000, remainder 1", "the need of 700001"},
		"carl": {"fed in 0.600001 kWh", "does not receive"},
	} {
		for _, w := range want {
			if !strings.Contains(said[who], w) {
				t.Errorf("%s is not told %q:\n%s", who, w, said[who])
			}
		}
	}
}

// Of two neighbours who may receive only what the other fed in, one is told her
// own line when the pool's totals are withheld, and nothing that the other's
// feed-in could be found out from: it is the same text whatever that was.
func TestExplainWithheld(t *testing.T) {
	most := energy.Energy(800_000)
	ch := &charter.Charter{
		Charter: charter.Format, Name: "Ours", RulesVersion: 2, Interval: energy.QuarterHour, Currency: "EUR",
		Sharing: charter.Sharing{ExportingSites: charter.ExportersOthers, Rounds: []charter.Round{
			{Name: "some", Method: charter.Equal, Cap: &most}, {Name: "everybody", Method: charter.Equal},
		}},
		Residual: charter.Residual{By: charter.ResidualEqual}, Storage: charter.Storage{Use: charter.StorageShared},
	}
	in := settlement.Input{Interval: energy.IntervalAt(0, energy.QuarterHour), Members: []ledger.MemberRow{
		{Member: "anna", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "a", Import: 900_000, Export: 1_000_000}}},
		{Member: "ben", Pool: roll.GridPool, Sites: []ledger.SiteInput{{Site: "b", Export: 123_456}}},
	}}
	var s settlement.Settler
	res, err := s.Settle(ch, in)
	if err != nil {
		t.Fatal(err)
	}
	settled := ledger.IntervalSettled{Interval: in.Interval, RulesVersion: 2, Pools: res.Pools}
	e, err := settlement.Explain(ch, &settled, &res.Members[0])
	if err != nil || e.Rounds[0].Need != 123_456 || !strings.Contains(e.Remarks[0], "0.123456") {
		t.Fatalf("not bounded by what the other fed in: %+v, %v", e, err)
	}
	e.Withhold(ch)
	needs := []energy.Energy{800_000, 900_000 - 123_456}
	for i, r := range e.Rounds {
		if r.Need != needs[i] || r.Arithmetic != "" || r.Certificate.Exact != nil || r.Certificate.Pool != 0 || r.Certificate.Demand != 0 {
			t.Errorf("%+v", r)
		}
	}
	if said := strings.Join(e.Remarks, "\n"); strings.Contains(said, "others fed in") || !strings.Contains(said, "from the grid") {
		t.Errorf("%s", said)
	}
}
