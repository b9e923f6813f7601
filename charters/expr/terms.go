// SPDX-License-Identifier: AGPL-3.0-or-later

package expr

import (
	"fmt"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/energy"
)

// Evaluate works out a charter's terms for the weighting period from ≤ t < until,
// from the facts as they are when it begins. Members come in any order, each
// once; the result is sorted. The same charter and facts give the same terms.
func Evaluate(c *charter.Charter, from, until energy.Instant, members []Facts) (charter.Terms, error) {
	hash, err := c.Hash()
	if err != nil {
		return charter.Terms{}, err
	}
	out := charter.Terms{CharterHash: hash, From: from, Until: until, Terms: make([]charter.Term, 0, len(c.Expressions)*len(members))}
	var gave int64
	for i := range members {
		gave = min(gave+min(max(members[i].GaveWh, 0), maxWattHours), maxWattHours)
	}
	for _, e := range c.Expressions {
		compiled, err := Compile(e)
		if err != nil {
			return charter.Terms{}, fmt.Errorf("expression %q: %w", e.Name, err)
		}
		for i := range members {
			v, err := compiled.run(members[i].values(int64(len(members)), gave))
			if err != nil {
				return charter.Terms{}, fmt.Errorf("member %q: %w", members[i].Member, err)
			}
			out.Terms = append(out.Terms, charter.Term{Expression: e.Name, Member: members[i].Member, Value: v})
		}
	}
	slices.SortFunc(out.Terms, charter.CompareTerm)
	for i := 1; i < len(out.Terms); i++ {
		if charter.CompareTerm(out.Terms[i-1], out.Terms[i]) == 0 {
			return charter.Terms{}, fmt.Errorf("member %q is among the facts twice; hand over each member once", out.Terms[i].Member)
		}
	}
	return out, nil
}
