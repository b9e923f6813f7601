// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

import (
	"fmt"
	"strings"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Explain tells the rules in plain English, the name first and then a paragraph
// an element, for members who decide on them and for pages that show what is in force. It says nothing
// that the program does not do. The charter is valid.
func (c Charter) Explain() []string {
	slot := slotName(c.Interval)
	text := []string{c.Name}
	if s := strings.TrimSpace(c.Summary); s != "" {
		text = append(text, s)
	}
	text = append(text, fmt.Sprintf("Every %s stands by itself: what members feed in during it is shared among the members who draw energy in the same %s.", slot, slot))
	text = append(text, c.Sharing.explain(&c, slot)...)
	text = append(text,
		c.Sharing.explainExporters(slot),
		c.Storage.explain(),
		c.Residual.explain(),
	)
	text = append(text, c.explainPrice()...)
	text = append(text, c.explainIsland(slot)...)
	text = append(text, c.Jurisdiction.explain()...)
	return append(text,
		fmt.Sprintf("A%s is settled as soon as every meter has reported. If a reading is still missing %s after its end, it is settled with what is there and marked as incomplete; when the reading comes, that settlement is taken back for all to see and made again.", article(slot)[1:], spanWords(c.SettleAfter)),
		fmt.Sprintf("These rules are run by version %d of the arithmetic: whoever runs it over the same readings gets the same result, to the last digit.", c.RulesVersion),
	)
}

// article puts one before a word: "an hour", "a quarter-hour".
func article(slot string) string {
	if strings.HasPrefix(slot, "hour") {
		return "an " + slot
	}
	return "a " + slot
}

func slotName(s energy.Span) string {
	if s == energy.Hour {
		return "hour"
	}
	return "quarter-hour"
}

func (s *Sharing) explainExporters(slot string) string {
	switch s.ExportingSites {
	case ExportersWait:
		return fmt.Sprintf("Who feeds in during %s gives, and does not receive shared energy in the same %s.", article(slot), slot)
	case ExportersOthers:
		return fmt.Sprintf("Who feeds in at one moment of %s and needs energy at another receives like everybody else, but only what others fed in, never her own.", article(slot))
	case ExportersReceive:
	}
	return fmt.Sprintf("Who feeds in at one moment of %s and needs energy at another receives like everybody else.", article(slot))
}

func (s *Storage) explain() string {
	if s.Use == StorageNone {
		return "Batteries are left alone: the community neither charges nor discharges them."
	}
	const lent = "Batteries that are lent to the community are charged with what nobody needs at the moment and discharged when members need more than is fed in; what comes out is shared by the same rules. What an owner keeps in reserve is touched by nobody else."
	if s.GridCharging == GridForfeits {
		return lent + " Only energy from renewable sources may be stored for sharing: a battery that holds any energy from the grid gives nothing to the others until that is gone."
	}
	return lent
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

func groupWords(groups []roll.Group) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = "“" + string(g) + "”"
	}
	if len(names) == 1 {
		return "the group " + names[0]
	}
	return "the groups " + list(names, "and")
}

// list joins words as a sentence does: "a, b and c".
func list(words []string, last string) string {
	n := len(words) - 1
	if n <= 0 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
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
