// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Explain tells the rules in plain English, the name first and then a paragraph
// an element, for members
// who decide on them and for pages that show what is in force. It says nothing
// that the program does not do. The charter is valid.
func (c Charter) Explain() []string {
	slot := slotName(c.Interval)
	text := []string{c.Name}
	if s := strings.TrimSpace(c.Summary); s != "" {
		text = append(text, s)
	}
	text = append(text, fmt.Sprintf("Every %s stands by itself: what members feed in during it is shared among the members who draw energy in the same %s.", slot, slot))
	text = append(text, c.Sharing.explain(slot)...)
	return append(text,
		c.Sharing.explainExporters(slot),
		c.Storage.explain(),
		c.Residual.explain(),
		c.explainPrice(),
		fmt.Sprintf("A %s is settled as soon as every meter has reported. If a reading is still missing %s after its end, it is settled with what is there and marked as incomplete; when the reading comes, that settlement is taken back for all to see and made again.", slot, spanWords(c.SettleAfter)),
		fmt.Sprintf("These rules are run by version %d of the arithmetic: whoever runs it over the same readings gets the same result, to the last digit.", c.RulesVersion),
	)
}

func slotName(s energy.Span) string {
	if s == energy.Hour {
		return "hour"
	}
	return "quarter-hour"
}

func (s *Sharing) explain(slot string) []string {
	var text []string
	if len(s.Rounds) == 1 {
		text = append(text, s.Rounds[0].explain("", slot, true))
	} else {
		text = append(text, fmt.Sprintf("Sharing goes in %s rounds, one after the other; each shares only what the rounds before it left over.", count(len(s.Rounds))))
	}
	shown := map[Method]bool{}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		if len(s.Rounds) > 1 {
			text = append(text, r.explain(fmt.Sprintf("Round %d, “%s”: ", i+1, r.Name), slot, !shown[r.Method]))
		}
		shown[r.Method] = true
	}
	return append(text, s.explainRest(), s.explainTies(shown, slot))
}

// explain is one round's rule; an example goes with the first round of its method.
func (r *Round) explain(heading, slot string, example bool) string {
	var b strings.Builder
	b.WriteString(heading)
	if len(r.Groups) == 0 {
		b.WriteString("Every member who needs energy takes part. ")
	} else {
		fmt.Fprintf(&b, "Only members of %s take part, as far as they need energy. ", groupWords(r.Groups))
	}
	b.WriteString(r.Method.explain())
	if r.Cap != nil {
		fmt.Fprintf(&b, " Nobody gets more than %s from this round in one %s.", r.Cap, slot)
	}
	switch {
	case r.Cap != nil: // the example knows no cap, and would contradict it
	case !example:
	case r.Method == Equal:
		b.WriteString(" For example, if 6 kWh are there and three neighbours need 1, 3 and 5 kWh, they get 1, 2.5 and 2.5 kWh.")
	case r.Method == Proportional:
		b.WriteString(" For example, if 6 kWh are there and three neighbours need 1.5, 3 and 4.5 kWh, they get 1, 2 and 3 kWh: two thirds each.")
	}
	return b.String()
}

// explain says what the method does with a pool.
func (m Method) explain() string {
	switch m {
	case Equal:
		return "Each gets the same amount, but nobody more than they need; what one does not need goes to the others."
	case Proportional:
		return "Each gets the same percentage of what they need, so who needs twice as much gets twice as much, and nobody more than they need."
	case Static:
		return "Each holds a fixed part of what is there, but gets no more than they need; what one does not need of it goes to nobody else in this round."
	case Weighted:
		return "Each gets in proportion to their weight, but nobody more than they need; what one does not need goes to the others, again by weight."
	case Priority:
		return "The tiers are served one after the other; the next gets something only when all before it have what they need."
	case Passes:
		return "Each has keys to the sources, as percent. Pass by pass each gets that percentage of what a source still has, but nobody more than they need; what is left over goes into the next pass."
	case Pairs:
		return "Each has a key to each source, as percent, and gets that percentage of what the source gives, but nobody more than they need."
	}
	return ""
}

// explainRest says what becomes of energy that the rounds leave.
func (s *Sharing) explainRest() string {
	for i := range s.Rounds {
		if s.Rounds[i].emptiesPool() {
			return "Nothing is left unshared while a member who may receive still needs energy. What nobody needs is not taken from those who fed it in."
		}
	}
	return "What the rounds leave over is not shared, even if somebody still needs energy, because no round is open to every member without a limit. It stays with those who fed it in."
}

// emptiesPool says whether the round leaves nothing while a member who may
// receive still needs energy.
func (r *Round) emptiesPool() bool {
	efficient := r.Method == Equal || r.Method == Proportional
	return efficient && len(r.Groups) == 0 && r.Cap == nil && len(r.Tags) == 0 && r.Eligible == "" &&
		r.CapPeriod == nil && len(r.Sources) == 0 && r.Offer == nil
}

func (s *Sharing) explainTies(shown map[Method]bool, slot string) string {
	cut := ""
	if shown[Proportional] {
		cut = "go first to those whose percentage was rounded down the most, and among equals "
		if shown[Equal] {
			cut = "go, where sharing is by percentage, first to those whose share was rounded down the most, and otherwise "
		}
	}
	return fmt.Sprintf("Everything is shared out exactly, to the thousandth of a watt-hour. Single thousandths that cannot be divided evenly %sgo by a draw that is new every %s and that anybody can repeat, so that nobody is always last.", cut, slot)
}

func (s *Sharing) explainExporters(slot string) string {
	if s.ExportingSites == ExportersWait {
		return fmt.Sprintf("Who feeds in during a %s gives, and does not receive shared energy in the same %s.", slot, slot)
	}
	return fmt.Sprintf("Who feeds in at one moment of a %s and needs energy at another receives like everybody else.", slot)
}

func (s *Storage) explain() string {
	if s.Use == StorageNone {
		return "Batteries are left alone: the community neither charges nor discharges them."
	}
	return "Batteries that are lent to the community are charged with what nobody needs at the moment and discharged when members need more than is fed in; what comes out is shared by the same rules. What an owner keeps in reserve is touched by nobody else."
}

func (r *Residual) explain() string {
	var who string
	switch r.By {
	case ResidualProportional:
		who = "shared by its members in proportion to what each consumed"
	case ResidualEqual:
		who = "shared by its members in equal parts"
	case ResidualMember:
		who = fmt.Sprintf("borne by the member “%s” alone", r.Member)
	}
	return "In a house with a single billing meter, what the flats' own meters do not explain (the light on the stairs, losses in the cables) is " + who + "."
}

func (c *Charter) explainPrice() string {
	if c.Price.Micro == 0 {
		return "Shared energy costs nothing between neighbours. What the grid operator and the tax office ask is not part of these rules."
	}
	amount, _ := strings.CutSuffix(c.Price.String(), " "+string(c.Currency))
	return fmt.Sprintf("Shared energy costs %s (%s), paid by the one who receives it to the one who fed it in. What the grid operator and the tax office ask is not part of this price.", amount, c.Currency)
}

func groupWords(groups []roll.Group) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = "“" + string(g) + "”"
	}
	if len(names) == 1 {
		return "the group " + names[0]
	}
	last := len(names) - 1
	return "the groups " + strings.Join(names[:last], ", ") + " and " + names[last]
}

// count is a small number in words.
func count(n int) string {
	words := [...]string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	if n < len(words) {
		return words[n]
	}
	return fmt.Sprint(n)
}

// spanWords is a span as people say it: in the largest unit that divides it.
func spanWords(s energy.Span) string {
	units := [...]struct {
		length energy.Span
		name   string
	}{{energy.Day, "day"}, {energy.Hour, "hour"}, {energy.Minute, "minute"}, {energy.Second, "second"}}
	for _, u := range units {
		if s%u.length != 0 {
			continue
		}
		if n := s / u.length; n != 1 {
			return fmt.Sprintf("%d %ss", n, u.name)
		}
		return "one " + u.name
	}
	return s.String()
}
