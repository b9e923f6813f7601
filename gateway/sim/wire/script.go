// SPDX-License-Identifier: AGPL-3.0-or-later

package wire

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/allmende-energy/allmende/energy"
)

// script plays rules. It remembers how often each was met.
type script struct {
	mu     sync.Mutex
	rules  []Rule
	met    []int // by rule: requests that met all of its condition but the counts
	played []int // by rule: how often it had its effect
	draw   *rand.Rand
	frozen map[frozenAt]uint16
}

type frozenAt struct {
	unit, function uint8
	addr           uint16
}

// mostFrozen bounds what freezing remembers; what comes after is not frozen.
const mostFrozen = 1 << 18

func newScript(seed uint64, rules []Rule) *script {
	return &script{
		rules: rules, met: make([]int, len(rules)), played: make([]int, len(rules)),
		draw:   rand.New(rand.NewPCG(seed, 0x5eed)), //nolint:gosec // faults that are drawn keep no secret
		frozen: map[frozenAt]uint16{},
	}
}

// moment is when a request came.
type moment struct {
	since     energy.Span // since the listener began
	connected energy.Span // since the connection was made
	gap       energy.Span // since the last answer
}

// effect is what happens to r, all rules together.
func (s *script) effect(r Request, at moment) Effect {
	var all Effect
	if len(s.rules) == 0 {
		return all
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, rule := range s.rules {
		if !rule.When.concerns(r, at) {
			continue
		}
		s.met[i]++
		if s.counts(i, rule.When) {
			s.played[i]++
			all = all.and(rule.Do)
		}
	}
	return all
}

func (c Condition) concerns(r Request, at moment) bool {
	return (c.Unit == nil || *c.Unit == r.Unit) &&
		(c.Function == nil || c.Function.holds(r)) &&
		(c.Addresses == nil || c.Addresses.touches(r)) &&
		r.Count > c.MoreThan && (c.AtMost == 0 || r.Count <= c.AtMost) &&
		at.since >= c.From && (c.Until == 0 || at.since < c.Until) &&
		(c.ConnectedLess == 0 || at.connected < c.ConnectedLess) &&
		(c.GapLess == 0 || at.gap < c.GapLess)
}

func (s *script) counts(i int, c Condition) bool {
	switch {
	case c.Nth > 0 && s.met[i] != c.Nth,
		c.Every > 0 && s.met[i]%c.Every != 0,
		c.Times > 0 && s.played[i] >= c.Times:
		return false
	}
	return c.Percent == 0 || s.draw.IntN(100) < c.Percent
}

// and is a and then b; where they differ a holds.
func (a Effect) and(b Effect) Effect {
	return Effect{
		Exception:    cmp.Or(a.Exception, b.Exception),
		IgnoreWrites: a.IgnoreWrites || b.IgnoreWrites,
		Freeze:       a.Freeze || b.Freeze,
		Shift:        cmp.Or(a.Shift, b.Shift),
		Set:          slices.Concat(b.Set, a.Set), // the last one written holds
		Negate:       slices.Concat(a.Negate, b.Negate),
		Delay:        cmp.Or(a.Delay, b.Delay),
		Late:         cmp.Or(a.Late, b.Late),
		Hold:         a.Hold || b.Hold,
		Silence:      a.Silence || b.Silence,
		Cut:          cmp.Or(a.Cut, b.Cut),
		Transaction:  cmp.Or(a.Transaction, b.Transaction),
		Unit:         cmp.Or(a.Unit, b.Unit),
		Function:     cmp.Or(a.Function, b.Function),
		BadCRC:       a.BadCRC || b.BadCRC,
		Noise:        orBytes(a.Noise, b.Noise),
		Send:         orBytes(a.Send, b.Send),
		HangUp:       a.HangUp || b.HangUp,
		Reset:        a.Reset || b.Reset,
	}
}

func orBytes(a, b Bytes) Bytes {
	if len(a) > 0 {
		return a
	}
	return b
}

// answer asks h as e has it.
func (s *script) answer(h Handler, r Request, e Effect) (Answer, error) {
	if e.Exception != 0 {
		return Answer{}, Exception(e.Exception)
	}
	if e.IgnoreWrites && r.Writes() {
		return Answer{}, nil
	}
	asked := r
	if e.Shift != 0 && !r.Writes() {
		to := int(r.Addr) + e.Shift
		if to < 0 || to+int(r.Count) > 1<<16 {
			return Answer{}, IllegalDataAddress
		}
		asked.Addr = uint16(to)
	}
	a, err := h.Serve(asked)
	if err != nil || r.Function != ReadHolding && r.Function != ReadInput || !a.fits(r) {
		return a, err
	}
	if e.Freeze || len(e.Set) > 0 || len(e.Negate) > 0 {
		a.Values = slices.Clone(a.Values) // they may be the handler's own
	}
	for _, n := range e.Negate {
		negate(r, a.Values, n)
	}
	for _, o := range e.Set {
		if i := int(o.Address) - int(r.Addr); i >= 0 && i < len(a.Values) {
			a.Values[i] = o.Value
		}
	}
	if e.Freeze {
		s.freeze(r, a.Values)
	}
	return a, nil
}

// freeze replaces what was read before by what it was then.
func (s *script) freeze(r Request, values []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range values {
		at := frozenAt{r.Unit, r.Function, r.Addr + uint16(i)}
		if old, ok := s.frozen[at]; ok {
			values[i] = old
		} else if len(s.frozen) < mostFrozen {
			s.frozen[at] = values[i]
		}
	}
}

// negate turns the sign of a number that was read as a whole.
func negate(r Request, values []uint16, n Signed) {
	i, words := int(n.Address)-int(r.Addr), max(n.Words, 1)
	if i < 0 || i+words > len(values) {
		return
	}
	if words == 1 {
		values[i] = -values[i]
		return
	}
	v := -(uint32(values[i])<<16 | uint32(values[i+1]))
	values[i], values[i+1] = uint16(v>>16), uint16(v)
}
