// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"testing"

	"github.com/allmende-energy/allmende/commons/statement"
	"github.com/allmende-energy/allmende/coordinator/trial"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// Lines come for as many members as there is room for, whole statements only; for
// whom there is none is said, and one alone always fits.
func TestLinesAreBounded(t *testing.T) {
	of := func(n int) whatif.Totals { return whatif.Totals{Lines: make([]statement.Line, n)} }
	price := energy.Price{Micro: 12_000_000, Currency: "EUR"}
	first := of(2)
	first.Lines[0] = statement.Line{Kind: statement.Network, Rule: "tariff.network[0]", Level: "local", Energy: 5, Price: &price, Amount: -7}
	report := whatif.Report{Members: []whatif.Change{
		{Member: "anna", Old: of(2), New: first}, {Member: "ben", Old: of(4), New: of(3)}, {Member: "cleo", Old: of(1), New: of(1)},
	}}
	out := EncodeWhatIf(&trial.Answer{Report: report}, "EUR")
	addLines(out, &report, "", 10)
	got := []int{len(out.GetMembers()[0].GetAfterLines()), len(out.GetMembers()[1].GetAfterLines()), len(out.GetMembers()[2].GetAfterLines())}
	if got[0] != 2 || got[1] != 0 || got[2] != 0 || out.GetLinesLeftOut() != 2 {
		t.Errorf("%v lines, %d left out", got, out.GetLinesLeftOut())
	}
	line := out.GetMembers()[0].GetAfterLines()[0]
	if line.GetKind() != "network" || line.GetLevel() != "local" || line.GetPrice() != "12 ct/kWh EUR" || line.GetAmountMinor() != -7 || line.GetEnergyMilliwattHours() != 5 {
		t.Errorf("%v", line)
	}
	out = EncodeWhatIf(&trial.Answer{Report: report}, "EUR")
	addLines(out, &report, "ben", 10)
	if n := len(out.GetMembers()[1].GetBeforeLines()); n != 4 || out.GetLinesLeftOut() != 0 || len(out.GetMembers()[0].GetBeforeLines()) != 0 {
		t.Errorf("of ben alone %d lines, %d left out", n, out.GetLinesLeftOut())
	}
}
