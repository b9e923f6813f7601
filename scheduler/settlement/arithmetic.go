// SPDX-License-Identifier: AGPL-3.0-or-later

package settlement

import (
	"fmt"
	"math/big"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// The sums of a round as text, so that a member can do them with paper and
// pencil. Energies stand in the units that the round counted in, because that is
// where the division was made: most often a milliwatt-hour, a millionth of a kWh.

// exactly is a round of rules version 2:
//
//	got = min(need, weight · num / den), cut to the unit below, or one unit more
func (r *ExplainedRound) exactly() string {
	c, x := &r.Certificate, r.Certificate.Exact
	unit := max(x.Unit, 1)
	need := r.Need
	if !x.Keyed { // a key's worth is cut to the unit, and not the need
		need = need / unit * unit
	}
	weight := r.weighs(need / unit)
	switch {
	case need == 0:
		return "Nothing was needed any more when this round began."
	case x.Num == 0:
		return "There was nothing to give in this round."
	case weight == 0:
		return "The weight in this round is 0, so nothing."
	case x.Den == 0:
		return fmt.Sprintf("There was enough for everybody in this round, so all that was needed: %v.", need)
	}
	d := divide(x.Num, weight, x.Den)
	text := fmt.Sprintf("Counted in %s: %s%s.", unitWords(unit), levelWords(c.Method, x.Keyed), d.words(c.Method == charter.Equal))
	what := fmt.Sprintf("the need of %d", need/unit)
	if need%unit != 0 {
		what = fmt.Sprintf("the need of %v", need)
	}
	switch {
	case d.atLeast(need, unit):
		return text + fmt.Sprintf(" No more than %s is given: %v.", what, r.Got)
	case d.times(unit).Cmp(big.NewInt(int64(r.Got))) == 0:
		text += fmt.Sprintf(" That is less than %s", what)
		if d.rest.Sign() != 0 && !x.Floor {
			text += fmt.Sprintf(". No unit more, because the remainder %s", r.compared(d.rest, false))
		}
		return text + fmt.Sprintf(": so %s, that is %v.", d.quotient, r.Got)
	}
	more := new(big.Int).Add(d.quotient, big.NewInt(1))
	if r.Got == need && r.Got%unit != 0 { // of a key, whose worth is cut to the need
		return text + fmt.Sprintf(" One unit more, because the remainder %s, but no more than %s is given: %v.", r.compared(d.rest, true), what, r.Got)
	}
	return text + fmt.Sprintf(" That is less than %s. One unit more, because the remainder %s: so %s, that is %v.", what, r.compared(d.rest, true), more, r.Got)
}

// weighs is what the level is multiplied with.
func (r *ExplainedRound) weighs(need energy.Energy) int64 {
	switch r.Certificate.Method {
	case charter.Equal:
		return 1
	case charter.Proportional:
		return int64(need)
	case charter.Static, charter.Weighted, charter.Priority, charter.Passes, charter.Pairs:
	}
	return r.Weight
}

// compared says how a remainder stands to the round's cut.
func (r *ExplainedRound) compared(rest *big.Int, more bool) string {
	x := r.Certificate.Exact
	switch order := rest.Cmp(big.NewInt(x.Cut)); {
	case order > 0:
		return fmt.Sprintf("is above the cut %d", x.Cut)
	case order < 0:
		return fmt.Sprintf("is not above the cut %d", x.Cut)
	case more:
		return fmt.Sprintf("equals the cut %d, and the rank %d in the draw among equals is not above %d", x.Cut, r.Rank, x.TieRank)
	}
	return fmt.Sprintf("equals the cut %d, and the rank %d in the draw among equals is above %d", x.Cut, r.Rank, x.TieRank)
}

func levelWords(m charter.Method, keyed bool) string {
	switch {
	case keyed:
		return "the key times the source, "
	case m == charter.Equal:
		return "the same for each, "
	case m == charter.Proportional:
		return "the same part of each need, "
	}
	return "the weight times the level, "
}

// nearly is a round of rules version 1, whose certificate does not say who got
// the units that the division left.
func (r *ExplainedRound) nearly(more energy.Energy) string {
	c := &r.Certificate
	switch {
	case r.Need == 0:
		return "Nothing was needed any more when this round began."
	case c.LevelNum == 0 || c.LevelDen == 0:
		return "There was nothing to give in this round."
	}
	d := divide(c.LevelNum, r.weighs(r.Need), c.LevelDen)
	text := fmt.Sprintf("Counted in %s: %s%s.", unitWords(1), levelWords(c.Method, false), d.words(c.Method == charter.Equal))
	switch {
	case d.atLeast(r.Need, 1):
		return text + fmt.Sprintf(" No more than the need of %d is given: %v.", r.Need, r.Got)
	case more > 0:
		return text + fmt.Sprintf(" That is less than the need of %d. One of the %d single units that the division left came on top: %d, that is %v.", r.Need, c.Remainder, r.Got, r.Got)
	}
	return text + fmt.Sprintf(" That is less than the need of %d, so %s, that is %v.", r.Need, d.quotient, r.Got)
}

// division is num · weight / den, whose product may pass 63 bits.
type division struct {
	num, weight, den int64
	quotient, rest   *big.Int
}

func divide(num, weight, den int64) division {
	d := division{num: num, weight: weight, den: den}
	product := new(big.Int).Mul(big.NewInt(num), big.NewInt(weight))
	d.quotient, d.rest = new(big.Int).QuoRem(product, big.NewInt(den), new(big.Int))
	return d
}

func (d *division) times(unit energy.Energy) *big.Int {
	return new(big.Int).Mul(d.quotient, big.NewInt(int64(unit)))
}

func (d *division) atLeast(need, unit energy.Energy) bool {
	return d.times(unit).Cmp(big.NewInt(int64(need))) >= 0
}

// words writes the division; that of an equal round has no weight.
func (d *division) words(equal bool) string {
	text := fmt.Sprintf("%d ÷ %d = %s", d.num, d.den, d.quotient)
	if !equal {
		text = fmt.Sprintf("%d × %d ÷ %d = %s", d.weight, d.num, d.den, d.quotient)
	}
	if d.rest.Sign() != 0 {
		text += fmt.Sprintf(", remainder %s", d.rest)
	}
	return text
}

func unitWords(unit energy.Energy) string {
	if unit == 1 {
		return "millionths of a kWh"
	}
	return fmt.Sprintf("steps of %v", unit)
}
