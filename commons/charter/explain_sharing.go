// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

func (s *Sharing) explain(c *Charter, slot string) []string {
	text := s.explainBefore()
	if len(s.Rounds) == 1 {
		text = append(text, s.Rounds[0].explain(c, "", slot, true))
	} else {
		text = append(text, fmt.Sprintf("Sharing goes in %s rounds, one after the other; each shares only what the rounds before it left over.", count(len(s.Rounds))))
	}
	shown := map[Method]bool{}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		if len(s.Rounds) > 1 {
			text = append(text, r.explain(c, fmt.Sprintf("Round %d, “%s”: ", i+1, r.Name), slot, !shown[r.Method]))
		}
		shown[r.Method] = true
	}
	text = append(text, s.explainAfter()...)
	return append(text, s.explainRest(), s.explainTies(slot))
}

// explainBefore says what happens before the rounds: sources, factors, reserves.
func (s *Sharing) explainBefore() []string {
	var text []string
	switch {
	case len(s.Sources) > listed:
		text = append(text, fmt.Sprintf("Sharing tells %d sources apart; the charter itself lists them.", len(s.Sources)))
	case len(s.Sources) > 0:
		names := make([]string, len(s.Sources))
		for i, x := range s.Sources {
			if x.Site != "" {
				names[i] = fmt.Sprintf("“%s” (what the site “%s” feeds in)", x.Name, x.Site)
			} else {
				names[i] = fmt.Sprintf("“%s” (what “%s” feeds in)", x.Name, x.Member)
			}
		}
		kind := "these sources"
		if len(names) == 1 {
			kind = "this source"
		}
		text = append(text, "Sharing tells "+kind+" apart: "+list(names, "and")+".")
	}
	if n := len(s.Participation); n > listed {
		text = append(text, fmt.Sprintf("Of the meters of %d members only a part counts here, as the charter itself lists.", n))
	} else if n > 0 {
		parts := make([]string, n)
		for i, f := range s.Participation {
			parts[i] = fmt.Sprintf("%s %% of what “%s” draws and feeds in", f.Percent, f.Member)
		}
		text = append(text, "Who takes part in other communities as well counts here with a part only: "+list(parts, "and")+". All others count with everything.")
	}
	for _, r := range s.Reserve {
		text = append(text, r.explain())
	}
	return text
}

func (r *Reserve) explain() string {
	switch r.For {
	case ReserveSolidarity:
		return fmt.Sprintf("Before anything is shared, %s %% of it is set aside for members of %s: after all rounds it goes in equal amounts to those of them who still need energy, but nobody gets more than they need.", r.Percent, groupWords(r.Groups))
	case ReserveStorage:
		return fmt.Sprintf("Before anything is shared, %s %% of it is set aside for the community's batteries.", r.Percent)
	case ReserveSale:
		return fmt.Sprintf("Before anything is shared, %s %% of it is set aside for the community to sell; what it earns is spent as the members decide.", r.Percent)
	}
	return ""
}

// ExplainRound is what [Charter.Explain] says of one round, by the name that its
// certificate bears; the reserve for solidarity counts as a round there. It is
// empty where there is no such round. The charter is valid.
func (c Charter) ExplainRound(name string) string {
	slot := slotName(c.Interval)
	shown := map[Method]bool{}
	for i := range c.Sharing.Rounds {
		r := &c.Sharing.Rounds[i]
		switch {
		case r.Name != name:
		case len(c.Sharing.Rounds) == 1:
			return r.explain(&c, "", slot, true)
		default:
			return r.explain(&c, fmt.Sprintf("Round %d, “%s”: ", i+1, r.Name), slot, !shown[r.Method])
		}
		shown[r.Method] = true
	}
	for i := range c.Sharing.Reserve {
		if r := &c.Sharing.Reserve[i]; r.For == ReserveSolidarity && name == SolidarityRound {
			return r.explain()
		}
	}
	return ""
}

// ExplainMarket is what [Charter.Explain] says of the market round; empty where
// there is none.
func (c Charter) ExplainMarket() string { return c.Sharing.Market.explain() }

func (m *Market) explain() string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("What is left after all rounds and after storage is traded among those who want to: members who still need energy say what they would pay, those whose energy is left say what they ask, between %s and %s, and one price for all settles it. A bid or an offer stands until it is withdrawn, and none changes for an interval that has begun. No bid can make anybody's share of the rounds smaller, and who does not bid loses nothing.", m.Lowest, m.Highest)
}

// explainAfter says what happens after the rounds.
func (s *Sharing) explainAfter() []string {
	var text []string
	if says := s.Market.explain(); says != "" {
		text = append(text, says)
	}
	if s.Attribution == AttributeListed {
		names := make([]Name, len(s.Sources))
		for i, x := range s.Sources {
			names[i] = x.Name
		}
		order := "in the order of the charter's list"
		if len(names) <= listed {
			order = "in this order: " + strings.Join(quoted(names), ", then ")
		}
		text = append(text, "Whose energy it was that was shared is counted "+order+"; the next counts only when the one before has given all that it had.")
	}
	return text
}

// explainRest says what becomes of energy that the rounds leave.
func (s *Sharing) explainRest() string {
	last := s.Rounds[len(s.Rounds)-1].Rest
	all := s.Rounding == nil || s.Rounding.Mode != Floor
	reserved := len(s.Reserve) > 0
	for i := range s.Rounds {
		if !s.Rounds[i].emptiesPool() || !all {
			continue
		}
		first := "Nothing is left unshared while a member who may receive still needs energy."
		if reserved {
			first = "Of what is not set aside, nothing is left unshared while a member who may receive still needs energy."
		}
		if last == RestGrid {
			return first + " What nobody needs the community sells to the grid."
		}
		return first + " What nobody needs stays with those who fed it in."
	}
	left := "What is left over"
	if s.Market != nil {
		left += " and nobody buys"
	}
	left += " is not shared, even if somebody still needs energy, " + s.whyLeft() + "."
	if last == RestGrid {
		return left + " The community sells it to the grid."
	}
	return left + " It stays with those who fed it in."
}

// whyLeft is the reason why energy may be left although somebody needs it.
func (s *Sharing) whyLeft() string {
	has := func(methods ...Method) bool {
		return slices.ContainsFunc(s.Rounds, func(r Round) bool { return slices.Contains(methods, r.Method) })
	}
	open := slices.ContainsFunc(s.Rounds, func(r Round) bool { return r.emptiesPool() })
	switch r := &s.Rounds[len(s.Rounds)-1]; {
	case has(Static, Pairs):
		return "because each holds a fixed part"
	case has(Passes):
		return "because nobody gets more than her percentage in a turn"
	case open: // and yet not all is shared
		return "because what does not fill a step is given to nobody"
	case len(s.Rounds) == 1 && r.Method == Priority && len(r.Groups) == 0 && len(r.Tags) == 0 && r.Eligible == "" && !r.Capped() && r.Offer == nil && len(r.Sources) == 0:
		return "because only members who have a place in the order take part"
	}
	return "because sharing is not open to every member without a limit"
}

// divides are the methods that leave something to be rounded.
func (s *Sharing) divides() map[Method]bool {
	methods := map[Method]bool{}
	for i := range s.Rounds {
		switch r := &s.Rounds[i]; {
		case r.Method != Priority:
			methods[r.Method] = true
		case r.Within == "":
			methods[Equal] = true
		default:
			methods[r.Within] = true
		}
	}
	return methods
}

// explainTurnCut says what the turns of Passes do with what their percentages
// don't give in whole steps: they have a rounding of their own.
func (s *Sharing) explainTurnCut() string {
	steps, once := "the thousandth of a watt-hour", true
	if s.Rounding != nil && s.Rounding.Unit > energy.MilliwattHour {
		steps = "whole steps of " + s.Rounding.Unit.String()
	}
	for i := range s.Rounds {
		once = once && (s.Rounds[i].Method != Passes || s.Rounds[i].Passes == 1)
	}
	if once {
		return fmt.Sprintf("What a percentage gives is cut down to %s; what is cut off is given to nobody.", steps)
	}
	return fmt.Sprintf("What a percentage gives in a turn is cut down to %s; what is cut off is there in the next turn, and after the last it is given to nobody.", steps)
}

func (s *Sharing) explainTies(slot string) string {
	shown := s.divides()
	unit, one := "thousandth of a watt-hour", "Single thousandths"
	if s.Rounding != nil && s.Rounding.Unit > energy.MilliwattHour {
		unit, one = "step", "Single steps"
	}
	begin := fmt.Sprintf("Everything is shared out exactly, to the %s. ", unit)
	if unit == "step" {
		begin = fmt.Sprintf("Energy is shared in whole steps of %s; what does not fill a step is not shared. ", s.Rounding.Unit)
	}
	if shown[Passes] {
		if len(shown) == 1 {
			return s.explainTurnCut()
		}
		begin = s.explainTurnCut() + " In the other rounds: " + strings.ToLower(begin[:1]) + begin[1:]
	}
	if s.Rounding != nil && s.Rounding.Mode == Floor {
		return begin + fmt.Sprintf("Shares are cut down to the %s; what that leaves is given to nobody.", unit)
	}
	cut := ""
	if shown[Proportional] || shown[Static] || shown[Weighted] || shown[Pairs] {
		cut = "go first to those whose share was rounded down the most, and among equals "
		if shown[Proportional] && len(shown) == 1 {
			cut = "go first to those whose percentage was rounded down the most, and among equals "
		}
		if shown[Equal] {
			cut = "go, where sharing is by percentage, first to those whose share was rounded down the most, and otherwise "
		}
	}
	return begin + fmt.Sprintf("%s that cannot be divided evenly %sgo by a draw that is new every %s and that anybody can repeat, so that nobody is always last.", one, cut, slot)
}

// explainIsland tells the rule for the time without a grid.
func (c *Charter) explainIsland(slot string) []string {
	if c.Island == nil {
		return nil
	}
	text := []string{"While the community runs cut off from the grid, another sharing rule holds instead."}
	for _, p := range c.Island.explain(c, slot) {
		text = append(text, "Cut off: "+p)
	}
	return append(text, "Cut off: "+c.Island.explainExporters(slot))
}

// explain says which law the charter is written for.
func (j *Jurisdiction) explain() []string {
	if j == nil {
		return nil
	}
	text := []string{
		fmt.Sprintf("This charter follows a rule of %s as of %s (“%s” in this program): %s The program refuses a charter that exceeds what it knows of that rule.", placeOf(j.Country), j.Date, j.Scheme, stop(j.Source)),
		"Who works out the shares that count: " + stop(j.OperatorComputes) + " What the community does: " + stop(j.CommunityDoes),
	}
	for _, l := range j.Limits {
		text = append(text, "A limit of that rule: "+stop(l))
	}
	return text
}
