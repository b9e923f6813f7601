// SPDX-License-Identifier: AGPL-3.0-or-later

package expr

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/common/cost"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/internal/strictyaml"
)

// Kind is what a variable holds.
type Kind int

// Kinds of variable.
const (
	Number   Kind = iota // a whole number, from Lowest to Highest
	Text                 // such as an id
	TextList             // for "families" in member.groups
)

// Variable is something that an expression can ask about a member.
type Variable struct {
	Name    string
	Kind    Kind
	Lowest  int64 // of a number; what is less counts as this
	Highest int64 // and what is more as this
	Means   string
}

// Bounds of what a variable can say.
const (
	maxDays      = 36_525            // a hundred years
	maxSites     = 1_000             // of one member
	maxMembers   = 1 << 20           // of a community
	maxWattHours = 1_000_000_000_000 // 1,000 GWh, in watt-hours
)

// Variables are all that expressions know. "last" is the weighting period before
// this one; it is 0 for who was not there, and in a community's first period.
func Variables() []Variable {
	return []Variable{
		{"member.id", Text, 0, 0, "her id in the register"},
		{"member.groups", TextList, 0, 0, "the groups that she is in when the period begins"},
		{"member.since_days", Number, 0, maxDays, "whole days since she joined, when the period begins"},
		{"member.sites", Number, 0, maxSites, "how many sites she has"},
		{"member.battery_wh", Number, 0, maxWattHours, "what her batteries hold that the community may use, in watt-hours"},
		{"last.used_wh", Number, 0, maxWattHours, "what she used last period, her own sun included"},
		{"last.fed_in_wh", Number, 0, maxWattHours, "what she fed in last period"},
		{"last.gave_wh", Number, 0, maxWattHours, "what others or storage took of that, without what she sold in a market round"},
		{"last.received_wh", Number, 0, maxWattHours, "what she got from the others last period, without what she bought in a market round"},
		{"community.members", Number, 1, maxMembers, "how many members there are when the period begins"},
		{"community.gave_wh", Number, 0, maxWattHours, "what all gave last period"},
	}
}

// Facts are what the variables say of one member. Amounts are whole watt-hours,
// cut to the one below.
type Facts struct {
	Member     roll.MemberID
	Groups     []roll.Group
	SinceDays  int64
	Sites      int64
	BatteryWh  int64
	UsedWh     int64
	FedInWh    int64
	GaveWh     int64
	ReceivedWh int64
}

// number is the field of the facts that a variable shows; nil where it shows none.
func (f *Facts) number(variable string) *int64 {
	switch variable {
	case "member.since_days":
		return &f.SinceDays
	case "member.sites":
		return &f.Sites
	case "member.battery_wh":
		return &f.BatteryWh
	case "last.used_wh":
		return &f.UsedWh
	case "last.fed_in_wh":
		return &f.FedInWh
	case "last.gave_wh":
		return &f.GaveWh
	case "last.received_wh":
		return &f.ReceivedWh
	}
	return nil
}

// Set states a number by the name of its variable, for facts that somebody writes
// down. Its error says which names and numbers there are.
func (f *Facts) Set(variable string, value int64) error {
	var all []string
	for _, v := range Variables() {
		if (&Facts{}).number(v.Name) == nil {
			continue
		}
		all = append(all, v.Name)
		if v.Name != variable {
			continue
		}
		if value < v.Lowest || value > v.Highest {
			return refuseFact("%d is out of range; %s lies between %d and %d", value, v.Name, v.Lowest, v.Highest)
		}
		*f.number(variable) = value
		return nil
	}
	if meant := strictyaml.Suggest(variable, all); meant != "" {
		return refuseFact("is not known; did you mean %s?", meant)
	}
	return refuseFact("is not known; there are %s", strings.Join(all, ", "))
}

// ErrFact is wrapped by every refusal of a fact.
var ErrFact = errors.New("not a fact that expressions know")

func refuseFact(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFact, fmt.Errorf(format, args...))
}

// values are the facts as an expression sees them, each within its bounds.
func (f *Facts) values(members, gave int64) map[string]any {
	groups := make([]string, len(f.Groups))
	for i, g := range f.Groups {
		groups[i] = string(g)
	}
	community := map[string]int64{"community.members": members, "community.gave_wh": gave}
	out := map[string]any{"member.id": string(f.Member), "member.groups": groups}
	for _, v := range Variables() {
		if v.Kind != Number {
			continue
		}
		value := community[v.Name]
		if own := f.number(v.Name); own != nil {
			value = *own
		}
		out[v.Name] = min(max(value, v.Lowest), v.Highest)
	}
	return out
}

// sizes tells CEL's estimate of cost how long the variables can be.
type sizes struct{}

const (
	maxGroupsOfMember = 64
	maxIDLength       = 40
)

// EstimateSize bounds lists and texts.
func (sizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	switch path := element.Path(); {
	case len(path) == 1 && path[0] == "member.groups":
		return &cost.SizeEstimate{Min: 0, Max: maxGroupsOfMember, Elem: &cost.SizeEstimate{Min: 0, Max: maxIDLength}}
	case len(path) > 0:
		return &cost.SizeEstimate{Min: 0, Max: maxIDLength}
	}
	return nil // what is written in the expression has the size that it has
}

// EstimateCallCost bounds our own functions: they look at two numbers.
func (sizes) EstimateCallCost(_, overload string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	if overload == "min_int_int" || overload == "max_int_int" {
		return cost.NewCallEstimate(cost.Estimate{Min: 1, Max: 1}, nil)
	}
	return nil
}
