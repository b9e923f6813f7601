// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"errors"
	"slices"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/roster"
	"github.com/allmende-energy/allmende/coordinator/sheet"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// maxProblems bounds how many problems of a spreadsheet are told at once.
const maxProblems = 1_000

// ImportMembers implements the service. Problems of the file are an answer, not
// an error: a page shows them beside the rows.
func (s *Administration) ImportMembers(ctx context.Context, req *allmendev1.ImportMembersRequest) (*allmendev1.ImportMembersResponse, error) {
	// One at a time: each may take some memory.
	s.importing.Lock()
	defer s.importing.Unlock()
	v := s.register.View()
	from, err := v.From(req.GetFrom())
	if err != nil {
		return nil, toStatus(err)
	}
	out := &allmendev1.ImportMembersResponse{}
	table, err := sheet.Read(clip(req.GetFileName()), req.GetContent())
	if found, ok := errors.AsType[sheet.Problems](err); ok {
		out.Problems = encodeProblems(found)
		return out, nil
	}
	if err != nil {
		return nil, toStatus(err)
	}
	list, found := roster.Read(table, v.History.At(from), from)
	out.Rows, out.Added, out.Changed, out.Unchanged = int32(list.Rows), int32(list.Added), int32(list.Changed), int32(list.Unchanged)
	if len(list.Changes) == 0 && len(found) == 0 {
		out.Applied = &allmendev1.ApplyChangesResponse{Revision: v.Revision(), Unchanged: true, DryRun: req.GetDryRun()}
		return out, nil
	}
	act := Act{Changes: list.Changes, Expected: req.GetExpectedRevision(), DryRun: req.GetDryRun() || len(found) > 0}
	if act.Expected == 0 {
		act.Expected = v.Revision() // what the comparison was made with
	}
	note := req.GetNote()
	if note == "" {
		note = "from " + clip(req.GetFileName())
	}
	out.Applied, err = s.apply(ctx, act, note)
	refused, isRefused := errors.AsType[*refusedAct](err)
	switch {
	case isRefused:
		found = append(found, others(found, list.Locate(refused.found))...)
	case err != nil:
		return nil, err
	}
	if len(found) > 0 {
		slices.SortStableFunc(found, func(a, b sheet.Problem) int { return a.Row - b.Row })
		out.Problems, out.Applied = encodeProblems(found), nil
	}
	return out, nil
}

// others are the problems of rows that have none yet: what is wrong in a row
// makes more go wrong that nobody needs to read.
func others(have, more sheet.Problems) sheet.Problems {
	told := map[int]bool{}
	for _, p := range have {
		told[p.Row] = true
	}
	var out sheet.Problems
	for _, p := range more {
		if !told[p.Row] && (p.Row > 0 || len(have) == 0) {
			out = append(out, p)
		}
	}
	return out
}

func encodeProblems(found sheet.Problems) []*allmendev1.SheetProblem {
	var out []*allmendev1.SheetProblem
	for i, p := range found {
		if i == maxProblems {
			return append(out, &allmendev1.SheetProblem{Message: "there are more problems: mend these first"})
		}
		out = append(out, &allmendev1.SheetProblem{Row: int32(p.Row), Column: p.Column, Message: p.Reason})
	}
	return out
}

// ExportRegister implements the service.
func (s *Administration) ExportRegister(ctx context.Context, req *allmendev1.ExportRegisterRequest) (*allmendev1.ExportRegisterResponse, error) {
	v := s.register.View()
	at, err := v.On(req.GetOn())
	if err != nil {
		return nil, toStatus(err)
	}
	c := v.History.At(at)
	who := access.From(ctx)
	for i := range c.Members { // the slice is new with each call
		if m := &c.Members[i]; !who.SeesCurvesOf(m.ID) {
			m.Bid, m.Offer = nil, nil
		}
	}
	return &allmendev1.ExportRegisterResponse{
		Yaml: string(s.register.File(c)), Revision: v.Revision(), AtUnixMs: int64(at),
	}, nil
}
