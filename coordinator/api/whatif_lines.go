// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/trial"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// maxLines bounds the lines of one answer: some hundreds of members' statements.
const maxLines = 5000

// addLines adds to a result that somebody may see what the members in it pay for.
// Her own lines tell a member no more than her own cost does, but for where what she
// received came from; so where a charter's totals could show single members, there
// are none. The parties outside are everybody's totals in fine parts, and for who may
// see everybody.
func (s *Sharing) addLines(who access.Principal, op *trial.Operation, out *allmendev1.WhatIfResult, only roll.MemberID) {
	if !who.May(access.ReadCurves) {
		out.Withheld = append(out.GetWithheld(), "parties")
		if op.Singles != "" || short(op) {
			out.Withheld = append(out.GetWithheld(), "lines")
			return
		}
	}
	addLines(out, &op.Answer.Report, only, maxLines)
	if who.May(access.ReadCurves) && only == "" {
		r := &op.Answer.Report
		out.Parties = []*allmendev1.WhatIfParty{encodeParty(&r.Community), encodeParty(&r.Retailer), encodeParty(&r.GridOperator)}
	}
}

// addLines adds the lines of the members that are in a result, as long as there is room.
func addLines(out *allmendev1.WhatIfResult, r *whatif.Report, only roll.MemberID, room int) {
	by := make(map[string]*whatif.Change, len(r.Members))
	for i := range r.Members {
		by[string(r.Members[i].Member)] = &r.Members[i]
	}
	for _, m := range out.GetMembers() {
		c := by[m.GetMemberId()]
		if c == nil || only != "" && c.Member != only {
			continue
		}
		if room -= len(c.Old.Lines) + len(c.New.Lines); room < 0 {
			out.LinesLeftOut++
			continue
		}
		m.BeforeLines, m.AfterLines = encodeLines(c.Old.Lines), encodeLines(c.New.Lines)
	}
}

func encodeParty(a *whatif.Account) *allmendev1.WhatIfParty {
	return &allmendev1.WhatIfParty{
		Role: string(a.Old.Party.Role), BeforeMinor: a.Old.Total, AfterMinor: a.New.Total,
		BeforeLines: encodeLines(a.Old.Lines), AfterLines: encodeLines(a.New.Lines),
	}
}

func encodeLines(lines []statement.Line) []*allmendev1.WhatIfLine {
	out := make([]*allmendev1.WhatIfLine, len(lines))
	for i, l := range lines {
		out[i] = &allmendev1.WhatIfLine{
			Kind: string(l.Kind), Rule: l.Rule, Level: string(l.Level),
			EnergyMilliwattHours: int64(l.Energy), Days: int32(l.Days), AmountMinor: l.Amount,
		}
		if l.Price != nil {
			out[i].Price = l.Price.String()
		}
	}
	return out
}
