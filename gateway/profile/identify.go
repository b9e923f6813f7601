// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// ErrMismatch says that a device does not show what its profile is known by.
var ErrMismatch = errors.New("this is not what the profile describes")

// Match is a profile that a device may be of.
type Match struct {
	Profile *Profile
	// Sure: the device names itself. Else its values are only possible ones.
	Sure  bool
	Shown string // what it showed, such as "holding 30000: SUN2000-10KTL-M1"
}

// point is a sign as a point, to decode it.
func (s *Sign) point() *Point {
	return &Point{
		Table: s.Table, Address: s.Address, Type: s.Type, Count: s.Count, Words: s.Words, Bytes: s.Bytes,
		Scale: s.Scale, Least: s.Least, Most: s.Most,
	}
}

// shows says what an image has at the sign, and whether that is it.
func (s *Sign) shows(m *Image) (shown string, ok bool) {
	p := s.point()
	r := p.decode(m)
	at := fmt.Sprintf("%s %d", s.Table, *s.Address)
	if r.Quality != energy.Good {
		return at + ": " + r.Reason, false
	}
	switch {
	case s.Type == String:
		ok = slices.ContainsFunc(s.Like, func(beginning string) bool { return strings.HasPrefix(r.Text, beginning) })
		return at + ": " + r.Text, ok
	case len(s.Is) > 0:
		return fmt.Sprintf("%s: %d", at, r.Raw), slices.Contains(s.Is, r.Raw)
	default:
		return at + ": " + r.Number.String(), r.Number.Cmp(*s.Least) >= 0 && r.Number.Cmp(*s.Most) <= 0
	}
}

// wants says what a sign would have to be.
func (s *Sign) wants() string {
	switch {
	case len(s.Like) > 0:
		return "a text that begins with " + strings.Join(s.Like, " or ")
	case len(s.Is) > 0:
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(s.Is), "[]"), " ", " or ")
	default:
		return fmt.Sprintf("%s to %s", s.Least, s.Most)
	}
}

// fits compares all signs with an image.
func (p *Profile) fits(m *Image) (Match, error) {
	match := Match{Profile: p}
	for i := range p.Identify {
		s := &p.Identify[i]
		shown, ok := s.shows(m)
		if !ok {
			return match, fmt.Errorf("profile %s: %w: %s, expected %s", p.Name, ErrMismatch, shown, s.wants())
		}
		if s.Least == nil {
			match.Sure = true
			match.Shown = shown
		} else if match.Shown == "" {
			match.Shown = shown
		}
	}
	return match, nil
}

// signSpans are what has to be read to tell a profile.
func (p *Profile) signSpans() []Span {
	var spans []Span
	for i := range p.Identify {
		spans = append(spans, p.Identify[i].point().span())
	}
	return spans
}

// mostSilence is how many requests without any answer end an identification.
const mostSilence = 3

// Identify asks a unit what it is: each register that some profile is known by
// is read once, one at a time. The sure matches come first. The error is that
// of the connection if nothing was answered at all.
func (l *Library) Identify(ctx context.Context, rw ReadWriter, unit uint8) ([]Match, error) {
	m := &Image{}
	var spans []Span
	for _, p := range l.All() {
		spans = append(spans, p.signSpans()...)
	}
	f := newFetcher(rw, unit, Connection{})
	silent, answered := 0, false
	var last error
	slices.SortFunc(spans, func(a, b Span) int {
		return int(a.Table)<<17 + int(a.Addr) - int(b.Table)<<17 - int(b.Addr)
	})
	for _, s := range slices.Compact(spans) {
		err := f.read(ctx, m, s)
		if _, refused := refusal(err); err == nil || refused {
			silent, answered = 0, true
			continue
		}
		last = err
		if silent++; silent >= mostSilence || ctx.Err() != nil {
			break
		}
	}
	if !answered && last != nil {
		return nil, fmt.Errorf("unit %d: %w", unit, last)
	}
	var found []Match
	for _, p := range l.All() {
		if len(p.Identify) == 0 {
			continue
		}
		if match, err := p.fits(m); err == nil {
			found = append(found, match)
		}
	}
	slices.SortStableFunc(found, func(a, b Match) int {
		switch {
		case a.Sure == b.Sure:
			return 0
		case a.Sure:
			return -1
		}
		return 1
	})
	return found, nil
}
