// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

// Expression is a rule about a member that is evaluated once at the start of
// each weighting period and then stays: it says whether she takes part in a
// round, or how much she counts. The text is CEL; this package does not
// read it (package charters/expr does), so that the core has no interpreter. The
// results are recorded in the ledger, and what is settled uses the record.
type Expression struct {
	Name  Name           `json:"name"`
	Gives ExpressionKind `json:"gives"`
	CEL   string         `json:"cel"`
}

// ExpressionKind is what an expression results in.
type ExpressionKind string

// Kinds of expression.
const (
	GivesEligible ExpressionKind = "eligible" // true or false
	GivesWeight   ExpressionKind = "weight"   // a whole number of millionths, from 0 to MaxWeight
)

// MaxExpression bounds an expression's text, in bytes.
const MaxExpression = 1000
