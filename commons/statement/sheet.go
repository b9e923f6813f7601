// SPDX-License-Identifier: AGPL-3.0-or-later

package statement

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/allmende-energy/allmende/energy"
)

// perMinor is how many millionths of a cent times milliwatt-hours are a cent.
const perMinor = 1_000_000 * int64(energy.KilowattHour)

// Sheet closes the statements of the intervals so far. More may be added after it.
func (b *Book) Sheet() (Sheet, error) {
	sheet := Sheet{Currency: b.charter.Currency}
	for _, role := range []Role{Community, Retailer, GridOperator} {
		b.account(Party{Role: role}) // they stand in every sheet, though they may be empty
	}
	b.receiveMembership()
	parties := make([]Party, 0, len(b.accounts))
	for p := range b.accounts {
		parties = append(parties, p)
	}
	slices.SortFunc(parties, func(x, y Party) int { return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Member, y.Member)) })
	exact, rounded := new(big.Rat), int64(0)
	for _, p := range parties {
		s := b.statement(p, exact)
		rounded += s.Total
		switch p.Role {
		case Member:
			sheet.Members = append(sheet.Members, s)
		case Community:
			sheet.Community = s
		case Retailer:
			sheet.Retailer = s
		case GridOperator:
			sheet.GridOperator = s
		}
	}
	if exact.Sign() != 0 {
		return Sheet{}, fmt.Errorf("%w: %s too much is paid", ErrMoney, exact.FloatString(9))
	}
	if rounded != 0 {
		sheet.Community.Lines = append(sheet.Community.Lines, Line{Kind: Rounding, Rule: string(Rounding), Amount: -rounded})
		sheet.Community.Total -= rounded
	}
	return sheet, nil
}

// receiveMembership lets the community receive the days that the members pay.
func (b *Book) receiveMembership() {
	to := b.account(Party{Role: Community})
	clear(to.days)
	for p, a := range b.accounts {
		if p.Role != Member {
			continue
		}
		for length, n := range a.days {
			to.days[length] -= n
		}
	}
}

// statement rounds a party's lines and adds their exact amounts to a sum.
func (b *Book) statement(p Party, exact *big.Rat) Statement {
	s := Statement{Party: p, Lines: []Line{}}
	a := b.accounts[p]
	for i := range a.lines {
		slot, t := &b.slots[i], &a.lines[i]
		line := Line{Kind: slot.kind, Rule: slot.rule, Level: slot.level, Energy: max(t.energy, -t.energy)}
		amount := new(big.Rat)
		switch {
		case slot.kind == Membership:
			amount = b.contribution(a, &line.Days)
		case slot.varies && t.sum != nil:
			amount.SetFrac(t.sum, big.NewInt(perMinor))
			if !t.mixed {
				line.Price = new(t.price)
			}
		case !slot.varies:
			amount.SetFrac(new(big.Int).Mul(big.NewInt(int64(t.energy)), big.NewInt(slot.price.Micro)), big.NewInt(perMinor))
			line.Price = new(slot.price)
		}
		if line.Energy == 0 && line.Days == 0 && amount.Sign() == 0 {
			continue
		}
		exact.Add(exact, amount)
		line.Amount = round(amount)
		s.Lines = append(s.Lines, line)
		s.Total += line.Amount
	}
	return s
}

// contribution is what the days of membership come to: of a period of n days, each
// costs an n-th.
func (b *Book) contribution(a *account, days *int) *big.Rat {
	sum := new(big.Rat)
	for length, n := range a.days {
		*days += max(n, -n)
		paid := new(big.Int).Mul(big.NewInt(int64(n)), big.NewInt(b.charter.Tariff.Membership.Minor))
		sum.Add(sum, new(big.Rat).SetFrac(paid, big.NewInt(int64(length))))
	}
	return sum
}

// round is the nearest whole number, half away from zero.
func round(r *big.Rat) int64 {
	twice := new(big.Int).Lsh(new(big.Int).Abs(r.Num()), 1)
	twice.Add(twice, r.Denom())
	n := twice.Quo(twice, new(big.Int).Lsh(r.Denom(), 1))
	if r.Sign() < 0 {
		n.Neg(n)
	}
	return n.Int64()
}
