// SPDX-License-Identifier: AGPL-3.0-or-later

// Package allocation divides a pool among members as a charter's sharing rule
// says, exact to the unit: nothing is lost to rounding, nothing is invented, and
// nothing stays in the pool while an eligible member has demand (unless a cap
// says so).
//
// It serves the live tick (amounts in milliwatts) and the settlement of an
// interval (amounts in milliwatt-hours) with the same code; a cap must be in the
// unit of the demands, see charter.Charter.InPower.
//
// The fast kernels run in linear time whatever the figures are. A slow kernel
// that anybody can check by reading stands beside each in oracle_test.go.
package allocation

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
)

// MaxMembers is the most that one call divides among.
const MaxMembers = 1 << 20

// Refusals of an input.
var (
	ErrAmount = errors.New("an amount is out of range")
	ErrRule   = errors.New("the sharing rule cannot be run")
)

// Member is one who may receive. IDs are unique in one call: among members with
// one id it is only the spare units whose order would then depend on the demand.
type Member struct {
	ID      roll.MemberID
	Groups  []roll.Group
	Demand  int64 // ≥ 0
	Exports bool  // feeds in during this interval
}

// Certificate says how a round came out, enough for a member to check her share:
//
//	equal:        share = min(demand, level), cut to the unit below, plus at most one unit
//	proportional: share = demand · level, cut to the unit below, plus at most one unit
//
// where demand is what she still needed when the round began, after its cap, and
// level = LevelNum/LevelDen (0/0: nobody was eligible with any demand). Where the
// pool covers all demand, equal's level is the largest demand and proportional's 1/1.
type Certificate struct {
	Round     string
	Method    charter.Method
	Pool      int64 // what the round had to give
	Demand    int64 // Σ eligible demand, after caps
	Shared    int64 // min(Pool, Demand)
	LevelNum  int64
	LevelDen  int64
	Remainder int64 // single units handed out beyond the shares cut to the unit below
}

// Workspace holds the buffers of an allocation, so that a tick allocates no
// memory once it has seen the community's size. The zero value is ready; one
// goroutine uses it at a time.
type Workspace struct {
	shares []int64
	certs  []Certificate

	demand []int64 // of the eligible, in one round
	got    []int64 // by the eligible, in one round
	who    []int32 // index in the input of each eligible

	keys []uint64 // what a selection compares
	idx  []int32  // candidates of a selection
}

// Allocate runs the rounds of rules in order, each over what the ones before
// left of pool and of the members' demands. shares[i] belongs to in[i]:
// 0 ≤ shares[i] ≤ in[i].Demand, and Σ shares = min(pool, Σ eligible demand)
// where rounds have no caps. A member's share does not depend on the order of
// in: single units that a division leaves go by the hash of seed and member.
//
// Both results live in the workspace and last until its next Allocate; copy what
// must outlive it. Errors wrap [ErrAmount] (a negative amount, or demands whose sum
// passes 63 bits) or [ErrRule]; nothing is allocated then.
func (w *Workspace) Allocate(rules *charter.Sharing, in []Member, pool int64, seed Seed) (shares []int64, certs []Certificate, err error) {
	if err := check(rules, in, pool); err != nil {
		return nil, nil, err
	}
	w.shares = resize(w.shares, len(in))
	clear(w.shares)
	w.certs = w.certs[:0]
	for i := range rules.Rounds {
		cert := w.round(rules, &rules.Rounds[i], in, pool, seed)
		pool -= cert.Shared
		w.certs = append(w.certs, cert)
	}
	return w.shares, w.certs, nil
}

func check(rules *charter.Sharing, in []Member, pool int64) error {
	switch {
	case rules == nil || len(rules.Rounds) > charter.MaxRounds:
		return fmt.Errorf("%w: it is missing or has more than %d rounds; validate the charter first", ErrRule, charter.MaxRounds)
	case len(in) > MaxMembers:
		return fmt.Errorf("%w: %d members, at most %d can share one pool; split the community", ErrAmount, len(in), MaxMembers)
	case pool < 0:
		return fmt.Errorf("%w: the pool is negative (%d); check the meters behind it", ErrAmount, pool)
	}
	for i := range rules.Rounds {
		r := &rules.Rounds[i]
		if r.Method != charter.Equal && r.Method != charter.Proportional {
			return fmt.Errorf("%w: round %q has the unknown method %q; validate the charter first", ErrRule, r.Name, r.Method)
		}
		if r.Cap != nil && *r.Cap < 0 {
			return fmt.Errorf("%w: round %q has a negative cap; validate the charter first", ErrRule, r.Name)
		}
	}
	var sum int64
	for i := range in {
		d := in[i].Demand
		if d < 0 {
			return fmt.Errorf("%w: the demand of %q is negative (%d); check her meters", ErrAmount, in[i].ID, d)
		}
		if sum > math.MaxInt64-d {
			return fmt.Errorf("%w: the demands add up to more than 63 bits hold; check the meter of %q", ErrAmount, in[i].ID)
		}
		sum += d
	}
	return nil
}

// round divides pool among those whom r names and adds to w.shares.
func (w *Workspace) round(rules *charter.Sharing, r *charter.Round, in []Member, pool int64, seed Seed) Certificate {
	w.who, w.demand = w.who[:0], w.demand[:0]
	cert := Certificate{Round: r.Name, Method: r.Method, Pool: pool}
	for i := range in {
		d := in[i].Demand - w.shares[i]
		if d == 0 || !eligible(rules, r, &in[i]) {
			continue
		}
		if r.Cap != nil {
			d = min(d, int64(*r.Cap))
		}
		w.who = append(w.who, int32(i))
		w.demand = append(w.demand, d)
		cert.Demand += d
	}
	if cert.Demand == 0 {
		return cert
	}
	cert.Shared = min(pool, cert.Demand)
	w.got = resize(w.got, len(w.who))
	ties := ties{seed: seed, who: w.who, in: in}
	if r.Method == charter.Proportional {
		cert.LevelNum, cert.LevelDen, cert.Remainder = w.proportional(cert.Shared, cert.Demand, &ties)
	} else {
		cert.LevelNum, cert.LevelDen, cert.Remainder = w.equal(cert.Shared, cert.Demand, &ties)
	}
	for k, i := range w.who {
		w.shares[i] += w.got[k]
	}
	return cert
}

// eligible says whether m takes part in r.
func eligible(rules *charter.Sharing, r *charter.Round, m *Member) bool {
	if m.Exports && rules.ExportingSites == charter.ExportersWait {
		return false
	}
	if len(r.Groups) == 0 {
		return true
	}
	for _, g := range r.Groups {
		if slices.Contains(m.Groups, g) {
			return true
		}
	}
	return false
}

// resize is b with length n, its content undefined.
func resize[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n, n+n/4)
	}
	return b[:n]
}
