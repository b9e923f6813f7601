// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// ErrConflict: somebody else was faster.
var ErrConflict = errors.New("the register was changed by somebody else meanwhile: look at it again, then repeat")

// Registrar is the coordinator behind the AdministrationService.
type Registrar interface {
	// View is the register with its history, held still.
	View() RegisterView
	// Apply records an act and lets it take effect. It refuses with ErrInvalid,
	// which wraps [roll.Problems], with ErrConflict and with ErrStorage.
	Apply(ctx context.Context, act Act) (Applied, error)
	// File is a register in the form of community.yaml.
	File(c roll.Community) []byte
}

// RegisterView is the register at one moment. Nothing in it is changed.
type RegisterView struct {
	History   roll.History
	Revisions []roll.Revision
	Zone      *time.Location
	Now       energy.Instant  // world time
	Interval  energy.Span     // of settlement
	Rules     charter.Charter // in force
}

// Act is an act of administration: changes that hold together or not at all.
type Act struct {
	Changes  []roll.Change
	Expected int64 // the revision that it was made for; 0: any
	Actor    string
	Note     string
	DryRun   bool
}

// Applied is what came of an act.
type Applied struct {
	Revision     int64 // of the register after it
	From         energy.Instant
	Recorded     roll.Revision
	SettledAgain int64 // intervals
	Unchanged    bool
	DryRun       bool
}

// errAsked is a request that cannot be understood; its text is for the one who asked.
type errAsked struct{ error }

// Is makes it an invalid one.
func (errAsked) Is(target error) bool { return target == ErrInvalid }

func asked(field, format string, args ...any) error {
	return errAsked{fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...))}
}

// On is the instant that a date asks about; nothing asks about the present.
func (v RegisterView) On(date string) (energy.Instant, error) {
	if date == "" || date == "now" {
		return v.Now, nil
	}
	return v.parse("on", date)
}

// From is the instant from which a change with that date takes effect.
func (v RegisterView) From(date string) (energy.Instant, error) {
	switch running := energy.IntervalAt(v.Now, v.Interval); date {
	case "":
		return running.End(), nil
	case "now":
		return running.Start, nil
	}
	t, err := v.parse("from", date)
	if err != nil {
		return 0, err
	}
	if slot := energy.IntervalAt(t, v.Interval); slot.Start != t {
		return 0, asked("from", "%s lies inside a settlement interval: write %s or %s", date, v.Say(slot.Start), v.Say(slot.End()))
	}
	return t, nil
}

// Say writes an instant in the community's time zone.
func (v RegisterView) Say(t energy.Instant) string {
	return t.Time().In(v.Zone).Format("2006-01-02 15:04")
}

func (v RegisterView) parse(field, date string) (energy.Instant, error) {
	if t, err := time.Parse(time.RFC3339, date); err == nil {
		return energy.InstantOf(t), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, date, v.Zone); err == nil {
			return energy.InstantOf(t), nil
		}
	}
	return 0, asked(field, "%.40q is no date: write a day such as %s, a time such as %q in %s, or now",
		date, v.Now.Time().In(v.Zone).Format(time.DateOnly), v.Say(energy.IntervalAt(v.Now, v.Interval).End()), v.Zone)
}

// Revision is the number of the newest.
func (v RegisterView) Revision() int64 { return int64(len(v.Revisions)) }

// checkKind reads a kind of entry that may be administered.
func checkKind(kind string) (roll.Kind, error) {
	switch k := roll.Kind(kind); k {
	case roll.KindMember, roll.KindConnection, roll.KindSite, roll.KindAsset, roll.KindGateway:
		return k, nil
	case roll.KindCommunity:
	}
	return "", asked("kind", "%.40q is no kind of entry: write %s, %s, %s, %s or %s", kind,
		roll.KindMember, roll.KindConnection, roll.KindSite, roll.KindAsset, roll.KindGateway)
}

// refOf reads the name of an entry.
func refOf(kind, id string) (roll.Ref, error) {
	k, err := checkKind(kind)
	if err != nil {
		return roll.Ref{}, err
	}
	if err := roll.CheckID(id); err != nil {
		return roll.Ref{}, asked("id", "%v", err)
	}
	return roll.Ref{Kind: k, ID: id}, nil
}

// unknownEntry says that there never was such an entry.
func unknownEntry(ref roll.Ref) error {
	return fmt.Errorf("%w: there is no %s, and there never was: list the ids with `allmende %s list`", ErrNotFound, ref, ref.Kind)
}
