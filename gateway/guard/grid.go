// SPDX-License-Identifier: AGPL-3.0-or-later

package guard

import "github.com/allmende-energy/allmende/energy"

// Usual values of a [Contact]: what German law (§14a EnWG) leaves a device
// whose grid operator can't be heard, for how long, and what counts as not heard.
const (
	UsualDraw      = 4_200 * energy.Watt
	UsualHold      = 2 * energy.Hour
	UsualHeartbeat = 2 * energy.Minute
)

// Contact is a grid operator who speaks through a digital contact: while it is
// closed, or open, a limit holds. Each time the contact is read counts as a
// heartbeat. Without one the failsafe holds for a while, and then nothing does:
// a broken wire must neither free a load at once nor hold it for ever.
type Contact struct {
	Limit     GridLimit // while it asks for one
	Failsafe  GridLimit // while it can't be read
	Heartbeat energy.Span
	Hold      energy.Span

	heard   Stamp
	ever    bool // it was read since this process began
	limited bool
}

// NewContact is a contact that was never read; its heartbeat counts from born.
func NewContact(limit, failsafe GridLimit, heartbeat, hold energy.Span, born Stamp) *Contact {
	return &Contact{Limit: limit, Failsafe: failsafe, Heartbeat: heartbeat, Hold: hold, heard: born}
}

// Heard takes what was read: limited says that the operator asks for the limit.
func (c *Contact) Heard(limited bool, now Stamp) { c.heard, c.limited, c.ever = now, limited, true }

// Allows is what the operator allows at now.
func (c *Contact) Allows(now Stamp) GridLimit {
	silent := energy.Span(now - c.heard)
	switch {
	case !c.ever && silent <= c.Heartbeat+c.Hold: // what held before a restart is not known
		return named(c.Failsafe, "the grid operator's contact was not read yet")
	case silent <= c.Heartbeat && c.limited:
		return named(c.Limit, "grid operator")
	case silent <= c.Heartbeat:
		return FreeGrid()
	case silent <= c.Heartbeat+c.Hold:
		return named(c.Failsafe, "the grid operator's contact can't be read")
	}
	return FreeGrid()
}

func named(l GridLimit, why string) GridLimit {
	l.Why = why
	return l
}

// And is what both allow.
func (l GridLimit) And(m GridLimit) GridLimit {
	return GridLimit{
		Draw: min(l.Draw, m.Draw), Feed: min(l.Feed, m.Feed), FeedPermille: min(l.FeedPermille, m.FeedPermille),
		Why: orWhy(l.Why, m.Why),
	}
}
