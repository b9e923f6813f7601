// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Administration is the AdministrationService.
type Administration struct {
	allmendev1.UnimplementedAdministrationServiceServer
	register  Registrar
	importing sync.Mutex
}

// AdministrationService is the service that keeps the register.
func AdministrationService(register Registrar) Service {
	return Service{
		Desc: &allmendev1.AdministrationService_ServiceDesc, Impl: &Administration{register: register},
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterAdministrationServiceHandlerClient(ctx, mux, allmendev1.NewAdministrationServiceClient(conn))
		},
	}
}

// maxNote bounds why something was done.
const maxNote = 500

// ListEntries implements the service.
func (s *Administration) ListEntries(ctx context.Context, req *allmendev1.ListEntriesRequest) (*allmendev1.ListEntriesResponse, error) {
	kind, err := checkKind(req.GetKind())
	if err != nil {
		return nil, toStatus(err)
	}
	limit, err := pageSize(req.GetPageSize(), maxPage)
	if err != nil {
		return nil, err
	}
	v := s.register.View()
	at, err := v.On(req.GetOn())
	if err != nil {
		return nil, toStatus(err)
	}
	present := entriesAt(v.History, at)
	stays := v.History.Stays()
	var ids []string
	for ref, stay := range stays {
		if _, there := present[ref]; ref.Kind == kind && ref.ID > req.GetAfter() && len(stay) > 0 && (there || req.GetAll()) {
			ids = append(ids, ref.ID)
		}
	}
	slices.Sort(ids)
	out := &allmendev1.ListEntriesResponse{Revision: v.Revision(), AtUnixMs: int64(at), More: len(ids) > limit}
	for _, id := range ids[:min(limit, len(ids))] {
		ref := roll.Ref{Kind: kind, ID: id}
		out.Entries = append(out.Entries, stateOf(ctx, v, ref, stays[ref], present, at))
	}
	return out, nil
}

// entriesAt are the entries in force at an instant, by name.
func entriesAt(h roll.History, at energy.Instant) map[roll.Ref]roll.Entry {
	out := map[roll.Ref]roll.Entry{}
	for _, e := range h.At(at).Entries() {
		out[e.Ref()] = e
	}
	return out
}

// stateOf is an entry at an instant; one that is not there then is shown as it
// was last, or will be first.
func stateOf(ctx context.Context, v RegisterView, ref roll.Ref, stays []roll.Stay, present map[roll.Ref]roll.Entry, at energy.Instant) *allmendev1.EntryState {
	out := &allmendev1.EntryState{Revision: v.Revision(), Timezone: v.Zone.String()}
	i := len(stays) - 1
	for i > 0 && stays[i].From > at {
		i--
	}
	stay := stays[i]
	out.SinceUnixMs, out.UntilUnixMs = int64(stay.From), int64(stay.Until)
	e, there := present[ref]
	switch {
	case there:
	case at < stay.From:
		e, out.Absent = stay.First, true
	default:
		e, out.Absent = stay.Last, true
	}
	out.Entry = withoutOrders(ctx, encodeEntry(e))
	return out
}

// GetEntry implements the service.
func (s *Administration) GetEntry(ctx context.Context, req *allmendev1.GetEntryRequest) (*allmendev1.EntryState, error) {
	ref, err := refOf(req.GetKind(), req.GetId())
	if err != nil {
		return nil, toStatus(err)
	}
	v := s.register.View()
	at, err := v.On(req.GetOn())
	if err != nil {
		return nil, toStatus(err)
	}
	stays := v.History.Stays()[ref]
	if len(stays) == 0 {
		return nil, toStatus(unknownEntry(ref))
	}
	return stateOf(ctx, v, ref, stays, entriesAt(v.History, at), at), nil
}

// ListHistory implements the service.
func (s *Administration) ListHistory(ctx context.Context, req *allmendev1.ListHistoryRequest) (*allmendev1.ListHistoryResponse, error) {
	ref, err := refOf(req.GetKind(), req.GetId())
	if err != nil {
		return nil, toStatus(err)
	}
	v := s.register.View()
	out := &allmendev1.ListHistoryResponse{Timezone: v.Zone.String()}
	for _, rev := range v.Revisions {
		for _, c := range rev.Changes {
			if c.Entry.Ref() == ref {
				shown := encodeRecorded(rev, c)
				shown.Entry = withoutOrders(ctx, shown.GetEntry())
				out.Changes = append(out.Changes, shown)
			}
		}
	}
	if len(out.Changes) == 0 {
		return nil, toStatus(unknownEntry(ref))
	}
	return out, nil
}

// AddEntry implements the service.
func (s *Administration) AddEntry(ctx context.Context, req *allmendev1.AddEntryRequest) (*allmendev1.ApplyChangesResponse, error) {
	return s.one(ctx, req.GetKind(), req.GetId(), &allmendev1.RegisterChange{
		Op: string(roll.OpAdd), Entry: req.GetEntry(), From: req.GetFrom(), Again: req.GetAgain(),
	}, &allmendev1.ApplyChangesRequest{ExpectedRevision: req.GetExpectedRevision(), Note: req.GetNote(), DryRun: req.GetDryRun()})
}

// ChangeEntry implements the service.
func (s *Administration) ChangeEntry(ctx context.Context, req *allmendev1.ChangeEntryRequest) (*allmendev1.ApplyChangesResponse, error) {
	return s.one(ctx, req.GetKind(), req.GetId(), &allmendev1.RegisterChange{
		Op: string(roll.OpChange), Entry: req.GetEntry(), From: req.GetFrom(), Fields: req.GetFields(),
	}, &allmendev1.ApplyChangesRequest{ExpectedRevision: req.GetExpectedRevision(), Note: req.GetNote(), DryRun: req.GetDryRun()})
}

// RetireEntry implements the service.
func (s *Administration) RetireEntry(ctx context.Context, req *allmendev1.RetireEntryRequest) (*allmendev1.ApplyChangesResponse, error) {
	ref, err := refOf(req.GetKind(), req.GetId())
	if err != nil {
		return nil, toStatus(err)
	}
	return s.one(ctx, req.GetKind(), req.GetId(), &allmendev1.RegisterChange{
		Op: string(roll.OpRetire), Entry: encodeEntry(roll.Named(ref)), From: req.GetFrom(), WithDependents: req.GetWithDependents(),
	}, &allmendev1.ApplyChangesRequest{ExpectedRevision: req.GetExpectedRevision(), Note: req.GetNote(), DryRun: req.GetDryRun()})
}

// one is an act of one change, whose entry must be the one that was named.
func (s *Administration) one(ctx context.Context, kind, id string, c *allmendev1.RegisterChange, act *allmendev1.ApplyChangesRequest) (*allmendev1.ApplyChangesResponse, error) {
	ref, err := refOf(kind, id)
	if err != nil {
		return nil, toStatus(err)
	}
	e, err := decodeEntry("entry", c.GetEntry())
	if err != nil {
		return nil, toStatus(err)
	}
	if have := e.Ref(); have != ref {
		return nil, toStatus(asked("entry", "it is %s, but %s was named: send the one that is meant", have, ref))
	}
	act.Changes = []*allmendev1.RegisterChange{c}
	return s.ApplyChanges(ctx, act)
}

// ApplyChanges implements the service.
func (s *Administration) ApplyChanges(ctx context.Context, req *allmendev1.ApplyChangesRequest) (*allmendev1.ApplyChangesResponse, error) {
	v := s.register.View()
	if n := len(req.GetChanges()); n > roll.MaxChanges {
		return nil, toStatus(asked("changes", "%d in one step, at most %d: do them in several", n, roll.MaxChanges))
	}
	act := Act{Expected: req.GetExpectedRevision(), DryRun: req.GetDryRun()}
	for i, c := range req.GetChanges() {
		changes, err := decodeChange(v, i, c)
		if err != nil {
			return nil, toStatus(err)
		}
		act.Changes = append(act.Changes, changes...)
	}
	return s.apply(ctx, act, req.GetNote())
}

// decodeChange reads a change and, of a retirement, what goes with it.
func decodeChange(v RegisterView, i int, c *allmendev1.RegisterChange) ([]roll.Change, error) {
	from, err := v.From(c.GetFrom())
	if err != nil {
		return nil, err
	}
	e, err := decodeEntry("changes["+strconv.Itoa(i)+"].entry", c.GetEntry())
	if err != nil {
		return nil, err
	}
	var out []roll.Change
	if c.GetWithDependents() && roll.Op(c.GetOp()) == roll.OpRetire {
		for _, ref := range v.History.At(from).Dependents(e.Ref()) {
			out = append(out, roll.Change{From: from, Op: roll.OpRetire, Entry: roll.Named(ref)})
		}
	}
	return append(out, roll.Change{From: from, Op: roll.Op(c.GetOp()), Entry: e, Fields: c.GetFields(), Again: c.GetAgain()}), nil
}

// apply lets the register do it, and answers.
func (s *Administration) apply(ctx context.Context, act Act, note string) (*allmendev1.ApplyChangesResponse, error) {
	if len(note) > maxNote || strings.ContainsFunc(note, func(r rune) bool { return r < ' ' && r != '\n' }) {
		return nil, toStatus(asked("note", "write at most %d characters, without control characters", maxNote))
	}
	act.Actor, act.Note = actorOf(ctx), strings.ToValidUTF8(note, "�")
	done, err := s.register.Apply(ctx, act)
	if found, ok := errors.AsType[roll.Problems](err); ok {
		return nil, &refusedAct{status.Error(codes.InvalidArgument, found.Error()), found}
	}
	if err != nil {
		return nil, toStatus(err)
	}
	withoutGuesses(ctx, &act, &done)
	out := &allmendev1.ApplyChangesResponse{
		Revision: done.Revision, FromUnixMs: int64(done.From), IntervalsSettledAgain: done.SettledAgain,
		Unchanged: done.Unchanged, DryRun: done.DryRun, Timezone: s.register.View().Zone.String(),
	}
	for _, c := range done.Recorded.Changes {
		out.Changes = append(out.Changes, encodeRecorded(done.Recorded, c))
	}
	return out, nil
}

// refusedAct is the refusal of changes that the register's rules forbid.
type refusedAct struct {
	error
	found roll.Problems
}

// GRPCStatus makes an answer on the wire of it.
func (r *refusedAct) GRPCStatus() *status.Status { return status.Convert(r.error) }

// actorOf is who is noted beside a change.
func actorOf(ctx context.Context) string {
	who := access.From(ctx)
	if who.ID == "" {
		return string(who.Kind)
	}
	return string(who.Kind) + " " + who.ID
}
