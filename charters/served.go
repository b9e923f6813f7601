// SPDX-License-Identifier: AGPL-3.0-or-later

package charters

import "github.com/allmende-energy/allmende/commons/charter"

// NotServed lists what a valid charter asks for that `allmende serve` does not do
// yet. Such a charter can be checked, explained, compared and tried with
// `allmende allocate`; it is not put in force, because the community would then
// live by less than it decided.
func NotServed(c *charter.Charter) charter.Problems {
	var p charter.Problems
	add := func(path, what, instead string) {
		p = append(p, charter.Problem{Path: path, Message: what + " not done by allmende serve yet; " + instead})
	}
	if c.Sharing.Market != nil || c.Island != nil && c.Island.Market != nil {
		add("sharing.market", "taking bids for what is left is", "leave it out until then")
	}
	return p
}
