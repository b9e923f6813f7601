// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// Desk runs what-ifs.
type Desk interface {
	Start(by, singles string, q trial.Question) (trial.Operation, error)
	Get(id string) (trial.Operation, bool)
	List() []trial.Operation
	Cancel(id string)
}

// ever is later than any interval.
const ever = energy.Instant(math.MaxInt64 / 2)

// StartWhatIf implements the service.
func (s *Sharing) StartWhatIf(ctx context.Context, req *allmendev1.StartWhatIfRequest) (*allmendev1.WhatIf, error) {
	q := trial.Question{From: energy.Instant(req.GetFromUnixMs()), Until: energy.Instant(req.GetToUnixMs()), Zone: s.books.Zone()}
	if q.Until == 0 {
		q.Until = ever
	}
	if q.From < 0 || q.From >= q.Until {
		return nil, status.Errorf(codes.InvalidArgument, "from_unix_ms %d, to_unix_ms %d: write two instants in milliseconds since 1970, the earlier one first; 0 for from the beginning, or to the end", req.GetFromUnixMs(), req.GetToUnixMs())
	}
	rolls := s.books.Rolls(q.From)
	if len(rolls) == 0 {
		rolls = s.books.Rolls(ever)
	}
	register := &rolls[len(rolls)-1].Community
	var err error
	if q.Proposed, err = (trial.Text{Template: req.GetCharterTemplate(), YAML: req.GetCharterYaml()}).Decode(register); err != nil {
		return nil, trialStatus("the proposed charter", err)
	}
	if against := (trial.Text{Template: req.GetAgainstTemplate(), YAML: req.GetAgainstYaml()}); against != (trial.Text{}) {
		ch, err := against.Decode(register)
		if err != nil {
			return nil, trialStatus("the charter to compare with", err)
		}
		q.Against = &ch
	}
	singles, err := s.singles(ctx, &q, rolls)
	if err != nil {
		return nil, toStatus(err)
	}
	who := access.From(ctx)
	if singles != "" && !who.May(access.ReadCurves) {
		return nil, status.Errorf(codes.PermissionDenied, "what would come out could show what single members use: %s. Ask the treasurer to try this one; who may see every member's curves may", singles)
	}
	if !who.May(access.ReadCurves) {
		if err := s.wholeWeeks(ctx, &q, rolls); err != nil {
			return nil, err
		}
	}
	if q.Grid, err = gridOf(req, &q.Proposed); err != nil {
		return nil, err
	}
	op, err := s.desk.Start(who.String(), singles, q)
	if err != nil {
		return nil, trialStatus("the comparison", err)
	}
	return s.encodeWhatIf(who, &op), nil
}

// week is the shortest time that totals are shown of: over a quarter-hour they
// are a step of everybody's curve.
const week = 7 * energy.Day

// singles says what of a question would show single members, by any register of
// the time that it is about.
func (s *Sharing) singles(ctx context.Context, q *trial.Question, rolls []roll.Dated) (string, error) {
	if named := q.From > 0 && q.Until != ever; named && energy.Span(q.Until-q.From) < week {
		return "it is about less than a week", nil
	}
	inForce, err := s.inForce(ctx)
	if err != nil {
		return "", err
	}
	return overAll(q, rolls, func(ch *charter.Charter, register *roll.Community) string {
		return trial.Singles(ch, inForce, register, s.least)
	}), nil
}

// inForce is the charter that the newest interval was settled by; nil where none is.
func (s *Sharing) inForce(ctx context.Context) (*charter.Charter, error) {
	account, err := s.books.SettledAt(ctx, math.MaxInt64)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil //nolint:nilnil // nothing is settled yet
	case err != nil:
		return nil, err
	}
	return &account.Charter, nil
}

// overAll asks about the charters of a question under each register of its time.
func overAll(q *trial.Question, rolls []roll.Dated, why func(*charter.Charter, *roll.Community) string) string {
	for _, d := range rolls {
		if d.From >= q.Until {
			break
		}
		if said := why(&q.Proposed, &d.Community); said != "" {
			return said
		}
		if q.Against == nil {
			continue
		}
		if said := why(q.Against, &d.Community); said != "" {
			return said
		}
	}
	return ""
}

// wholeWeeks cuts a question to whole weeks, from Monday to Monday where the community
// lives, if who asks could tell by her own share when few others use something: by two
// questions, one of which goes on for a quarter-hour more.
func (s *Sharing) wholeWeeks(ctx context.Context, q *trial.Question, rolls []roll.Dated) error {
	inForce, err := s.inForce(ctx)
	if err != nil {
		return toStatus(err)
	}
	few := overAll(q, rolls, func(ch *charter.Charter, register *roll.Community) string {
		return trial.Few(ch, inForce, register, s.least)
	})
	if few == "" {
		return nil
	}
	from, until := q.From, q.Until
	if until == ever {
		account, err := s.books.SettledAt(ctx, math.MaxInt64)
		if err != nil {
			return trialStatus("the comparison", fmt.Errorf("%w: nothing is settled yet", trial.ErrQuestion))
		}
		until = account.Interval.End()
	}
	from = max(from, rolls[0].From)
	q.From, q.Until = mondayFrom(from, s.books.Zone()), mondayUntil(until, s.books.Zone())
	if q.From >= q.Until {
		return status.Errorf(codes.PermissionDenied, "one's own share would show when others use energy: %s. Such a charter is tried over whole weeks, from Monday to Monday, and none is recorded in that time: wait until one is, or ask the treasurer", few)
	}
	return nil
}

// mondayUntil is the last beginning of a week at or before an instant.
func mondayUntil(at energy.Instant, zone *time.Location) energy.Instant {
	t := time.UnixMilli(int64(at)).In(zone)
	const days = 7
	back := (int(t.Weekday()) + days - int(time.Monday)) % days
	return energy.Instant(time.Date(t.Year(), t.Month(), t.Day()-back, 0, 0, 0, 0, zone).UnixMilli())
}

// mondayFrom is the first beginning of a week at or after an instant.
func mondayFrom(at energy.Instant, zone *time.Location) energy.Instant {
	monday := mondayUntil(at, zone)
	if monday == at {
		return at
	}
	const days = 7
	t := time.UnixMilli(int64(monday)).In(zone)
	return energy.Instant(time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, zone).UnixMilli())
}

// gridOf reads the prices of the world outside.
func gridOf(req *allmendev1.StartWhatIfRequest, ch *charter.Charter) (g whatif.Grid, err error) {
	for _, p := range []struct {
		field, text string
		to          *energy.Price
	}{{"retail_price", req.GetRetailPrice(), &g.Retail}, {"feed_in_price", req.GetFeedInPrice(), &g.FeedIn}} {
		*p.to = energy.Price{Currency: ch.Currency}
		if p.text == "" {
			continue
		}
		if *p.to, err = energy.ParsePrice(p.text); err == nil && p.to.Currency != ch.Currency {
			err = fmt.Errorf("the charter counts in %s", ch.Currency)
		}
		if err != nil {
			return g, status.Errorf(codes.InvalidArgument, "%s: %v; write one such as \"30 ct/kWh %s\"", p.field, err, ch.Currency)
		}
	}
	return g, nil
}

func trialStatus(what string, err error) error {
	switch {
	case errors.Is(err, trial.ErrQuestion):
		return status.Errorf(codes.InvalidArgument, "%s: %v", what, err)
	case errors.Is(err, trial.ErrFull):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return toStatus(err)
}

// GetWhatIf implements the service.
func (s *Sharing) GetWhatIf(ctx context.Context, req *allmendev1.GetWhatIfRequest) (*allmendev1.WhatIf, error) {
	op, ok := s.desk.Get(req.GetWhatIfId())
	if !ok {
		return nil, noWhatIf(req.GetWhatIfId())
	}
	out := s.encodeWhatIf(access.From(ctx), &op)
	if op.State == trial.Done {
		who := access.From(ctx)
		out.Result = s.result(who, &op)
		if req.GetLines() {
			s.addLines(who, &op, out.GetResult(), roll.MemberID(req.GetLinesOfMemberId()))
		}
	}
	return out, nil
}

func noWhatIf(id string) error {
	return status.Errorf(codes.NotFound, "there is no what-if %.40q, or no longer: results are kept for a day, and end with the coordinator; start it again", id)
}

// ListWhatIfs implements the service.
func (s *Sharing) ListWhatIfs(ctx context.Context, _ *allmendev1.ListWhatIfsRequest) (*allmendev1.ListWhatIfsResponse, error) {
	out := &allmendev1.ListWhatIfsResponse{}
	for _, op := range s.desk.List() {
		out.WhatIfs = append(out.WhatIfs, s.encodeWhatIf(access.From(ctx), &op))
	}
	return out, nil
}

// CancelWhatIf implements the service.
func (s *Sharing) CancelWhatIf(ctx context.Context, req *allmendev1.CancelWhatIfRequest) (*allmendev1.WhatIf, error) {
	op, ok := s.desk.Get(req.GetWhatIfId())
	if !ok {
		return nil, noWhatIf(req.GetWhatIfId())
	}
	who := access.From(ctx)
	if !mine(who, &op) {
		return nil, status.Error(codes.PermissionDenied, "somebody else began this one: who began it may cancel it, or the treasurer")
	}
	s.desk.Cancel(op.ID)
	op, _ = s.desk.Get(op.ID)
	return s.encodeWhatIf(who, &op), nil
}

func mine(who access.Principal, op *trial.Operation) bool {
	return op.By == who.String() || who.May(access.ReadCurves)
}

func (s *Sharing) encodeWhatIf(who access.Principal, op *trial.Operation) *allmendev1.WhatIf {
	out := &allmendev1.WhatIf{
		Id: op.ID, StartedUnixMs: op.Started.UnixMilli(), State: whatIfState(op.State),
		CharterName: op.Question.Proposed.Name, CharterHash: hashOf(&op.Question.Proposed),
		FromUnixMs: int64(op.Question.From), ToUnixMs: int64(op.Question.Until),
		DoneIntervals: op.Intervals, TotalIntervals: op.Total, Mine: mine(who, op),
	}
	if op.Question.Until == ever {
		out.ToUnixMs = 0
	}
	against := op.Question.Against
	if op.Answer != nil {
		against = &op.Answer.Against
	}
	if against != nil {
		out.AgainstName, out.AgainstHash = against.Name, hashOf(against)
	}
	if op.State > trial.Running {
		out.EndedUnixMs, out.KeptUntilUnixMs = op.Ended.UnixMilli(), op.Kept.UnixMilli()
	}
	if op.Err != nil {
		out.Error = "it could not be compared; who began it is told why"
		if out.GetMine() {
			out.Error = toldWhy(op.Err)
		}
	}
	return out
}

// toldWhy is an error for people.
func toldWhy(err error) string {
	if errors.Is(err, trial.ErrQuestion) {
		return err.Error()
	}
	return "the coordinator could not read what was recorded, or found it damaged: run \"allmende ledger verify\", then try again"
}

func whatIfState(s trial.State) allmendev1.WhatIfState {
	switch s {
	case trial.Waiting:
		return allmendev1.WhatIfState_WHAT_IF_STATE_WAITING
	case trial.Running:
		return allmendev1.WhatIfState_WHAT_IF_STATE_RUNNING
	case trial.Done:
		return allmendev1.WhatIfState_WHAT_IF_STATE_DONE
	case trial.Failed:
		return allmendev1.WhatIfState_WHAT_IF_STATE_FAILED
	case trial.Cancelled:
		return allmendev1.WhatIfState_WHAT_IF_STATE_CANCELLED
	}
	return allmendev1.WhatIfState_WHAT_IF_STATE_UNSPECIFIED
}

func hashOf(ch *charter.Charter) string {
	hash, err := ch.Hash()
	if err != nil { // it was decoded
		return ""
	}
	return hash
}

// result is what of an answer somebody may see: her own change, everybody's with
// the permission, and totals as far as enough members stand behind them.
func (s *Sharing) result(who access.Principal, op *trial.Operation) *allmendev1.WhatIfResult {
	out := EncodeWhatIf(op.Answer, op.Question.Proposed.Currency)
	if who.May(access.ReadCurves) {
		return out
	}
	out.Members = slices.DeleteFunc(out.GetMembers(), func(c *allmendev1.WhatIfChange) bool {
		return !who.SeesCurvesOf(roll.MemberID(c.GetMemberId()))
	})
	out.Withheld = []string{"members"}
	out.Spread.LeastMilliwattHours, out.Spread.GreatestMilliwattHours = nil, nil
	if op.Singles != "" || short(op) || out.GetMemberCount() < int64(s.least) {
		out.Before, out.After, out.Spread, out.OrderedIntervals = nil, nil, nil, nil
		out.Withheld = append(out.Withheld, "totals", "spread")
	}
	return out
}

// short says whether an answer is about a part of the time that is too short for sums.
func short(op *trial.Operation) bool {
	part := op.Question.From > 0 || op.Question.Until != ever
	return part && energy.Span(op.Answer.Intervals)*op.Question.Proposed.Interval < week
}

// EncodeWhatIf is an answer with everything that it holds.
func EncodeWhatIf(a *trial.Answer, currency energy.Currency) *allmendev1.WhatIfResult {
	out := &allmendev1.WhatIfResult{
		Intervals: int64(a.Intervals), LeftOut: a.LeftOut, Currency: string(currency), MemberCount: int64(len(a.Members)),
		Before: encodeTotals(&a.Old), After: encodeTotals(&a.New), Spread: encodeSpread(&a.Report),
		Conserved: true, // a comparison ends at the first interval in which it is not
		DataHash:  a.DataHash, ResultHash: a.Hash,
		BeforeWithoutPast: int64(a.OldWithoutPast), AfterWithoutPast: int64(a.NewWithoutPast),
	}
	if a.Market != nil {
		ordered := int64(a.Market.Ordered)
		out.OrderedIntervals = &ordered
	}
	for i := range a.Members {
		c := &a.Members[i]
		out.Members = append(out.Members, &allmendev1.WhatIfChange{MemberId: string(c.Member), Before: encodeTotals(&c.Old), After: encodeTotals(&c.New)})
	}
	return out
}

func encodeTotals(t *whatif.Totals) *allmendev1.WhatIfTotals {
	return &allmendev1.WhatIfTotals{
		DemandMilliwattHours: int64(t.Demand), ReceivedMilliwattHours: int64(t.Received), GivenMilliwattHours: int64(t.Given),
		GridImportMilliwattHours: int64(t.GridImport), GridExportMilliwattHours: int64(t.GridExport), CostMinor: t.Cost,
		BoughtMilliwattHours: int64(t.Bought), SoldMilliwattHours: int64(t.Sold),
	}
}

func encodeSpread(r *whatif.Report) *allmendev1.WhatIfSpread {
	n := len(r.Members)
	out := &allmendev1.WhatIfSpread{Gain: int64(r.Gain), Lose: int64(r.Lose), Same: int64(n - r.Gain - r.Lose)}
	if n == 0 {
		return out
	}
	all := make([]int64, n)
	for i := range r.Members {
		all[i] = int64(r.Members[i].Received())
	}
	slices.Sort(all)
	out.QuarterMilliwattHours, out.HalfMilliwattHours, out.ThreeQuartersMilliwattHours = all[(n-1)/4], all[(n-1)/2], all[(n-1)*3/4]
	out.LeastMilliwattHours, out.GreatestMilliwattHours = &all[0], &all[n-1]
	return out
}
