// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// Account is an interval as it was settled, with what the annex still has of it
// and the charter that it was settled by.
type Account struct {
	Settled
	Rows    []ledger.Row
	Charter charter.Charter
}

// Books are what was settled, and who took part then.
type Books interface {
	// SettledAt is the settled interval that contains an instant. The error wraps
	// [ErrNotFound] where there is none.
	SettledAt(ctx context.Context, at energy.Instant) (Account, error)
	// Rolls are the registers that were in force from an instant on, in order, without
	// bids and offers.
	Rolls(from energy.Instant) []roll.Dated
	// Zone is where the community's days begin.
	Zone() *time.Location
}

// Sharing is the SharingService.
type Sharing struct {
	allmendev1.UnimplementedSharingServiceServer
	books Books
	desk  Desk
	least int // members behind a total that everybody sees
}

// NewSharing returns the service. Fewer than least members never stand behind a
// total that everybody sees.
func NewSharing(books Books, desk Desk, least int) *Sharing {
	return &Sharing{books: books, desk: desk, least: least}
}

// SharingService is the service of the rules at work.
func SharingService(s *Sharing) Service {
	return Service{
		Desc: &allmendev1.SharingService_ServiceDesc, Impl: s,
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterSharingServiceHandlerClient(ctx, mux, allmendev1.NewSharingServiceClient(conn))
		},
	}
}

// WhyShare implements the service.
func (s *Sharing) WhyShare(ctx context.Context, req *allmendev1.WhyShareRequest) (*allmendev1.WhyShareResponse, error) {
	id := roll.MemberID(req.GetMemberId())
	if err := access.CurvesOf(ctx, id); err != nil {
		return nil, err
	}
	at := energy.Instant(req.GetAtUnixMs())
	if at < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "at_unix_ms: %d, write an instant in milliseconds since 1970, or 0 for the newest interval that is settled", at)
	}
	if at == 0 {
		at = math.MaxInt64
	}
	account, err := s.books.SettledAt(ctx, at)
	if err != nil {
		return nil, toStatus(err)
	}
	hidden := func(roll.PoolID) bool { return false }
	if !access.From(ctx).May(access.ReadCurves) {
		hidden = s.hidden(account.Interval)
	}
	why, err := s.why(&account, id, hidden)
	return why, toStatus(err)
}

// hidden says of which pools the certificates are left out: behind them too few
// members stood, as everybody is refused the leaves that hold them. Where nobody
// knows who stood behind a pool, that is of each.
func (s *Sharing) hidden(iv energy.Interval) func(roll.PoolID) bool {
	rolls := s.books.Rolls(iv.Start)
	if len(rolls) == 0 {
		return func(roll.PoolID) bool { return true }
	}
	pools := access.NewCrowd(rolls[0].Community, s.least).HiddenPools()
	return func(p roll.PoolID) bool { return slices.Contains(pools, p) }
}

// Why explains a member's shares in an interval, from her own rows and the
// certificates. The error wraps [ErrNotFound] where there is no row of hers.
func Why(a *Account, member roll.MemberID) (*allmendev1.WhyShareResponse, error) {
	return (&Sharing{}).why(a, member, func(roll.PoolID) bool { return false })
}

func (s *Sharing) why(a *Account, member roll.MemberID, hidden func(roll.PoolID) bool) (*allmendev1.WhyShareResponse, error) {
	out := &allmendev1.WhyShareResponse{
		MemberId: string(member), StartUnixMs: int64(a.Interval.Start), LengthMs: int64(a.Interval.Length),
		LeafIndex: uint64(a.Index), Revision: int32(a.Revision), Complete: a.Complete, Quality: allmendev1.Quality(a.Quality),
		CharterName: a.Charter.Name, CharterHash: a.CharterHash, RulesVersion: int32(a.RulesVersion),
	}
	for _, row := range a.Rows {
		if row.Kind != ledger.RowMember || row.Subject != member {
			continue
		}
		m, err := row.Member()
		if err != nil {
			return nil, err
		}
		e, err := settlement.Explain(&a.Charter, &a.IntervalSettled, &m)
		if err != nil {
			return nil, fmt.Errorf("explaining the share of %q in %v: %w", member, a.Interval, err)
		}
		withheld := hidden(m.Pool)
		if withheld {
			e.Withhold(&a.Charter)
			e.Remarks = append(e.Remarks, fmt.Sprintf("The rounds' certificates are left out: behind this pool stand fewer than %d members, and its totals would show what the others used. The treasurer can go through them with you; or the community agrees on a smaller people.min_aggregate.", s.least))
		}
		out.Pools = append(out.Pools, encodeExplanation(&e, withheld))
	}
	if len(out.Pools) == 0 {
		return nil, fmt.Errorf("%w: member %q has no line in %v: she took no part then, or her data are erased", ErrNotFound, member, a.Interval)
	}
	return out, nil
}

func encodeExplanation(e *settlement.Explanation, withheld bool) *allmendev1.PoolShare {
	m := &e.Row
	out := &allmendev1.PoolShare{
		PoolId: string(m.Pool), DemandMilliwattHours: int64(m.Demand), SupplyMilliwattHours: int64(m.Supply),
		ShareMilliwattHours: int64(m.Share), FromStorageMilliwattHours: int64(m.FromStorage), GridImportMilliwattHours: int64(m.GridImport),
		Remarks: e.Remarks, Sum: e.Sum, Checked: e.Checked, Withheld: withheld,
	}
	out.Market = encodeMarket(e.Market)
	for i := range e.Rounds {
		r := &e.Rounds[i]
		c := &r.Certificate
		share := &allmendev1.RoundShare{
			Round: c.Round, Source: string(c.Source), Method: string(c.Method), Says: r.Says,
			NeedMilliwattHours: int64(r.Need), WeightMillionths: r.Weight, GotMilliwattHours: int64(r.Got),
			Arithmetic: r.Arithmetic,
		}
		if !withheld {
			share.Certificate = encodeCertificate(c, r.Rank)
		}
		if r.Cap != nil {
			most := int64(*r.Cap)
			share.CapMilliwattHours = &most
		}
		out.Rounds = append(out.Rounds, share)
	}
	return out
}

func encodeCertificate(c *ledger.Round, rank uint64) *allmendev1.RoundCertificate {
	out := &allmendev1.RoundCertificate{
		PoolMilliwattHours: int64(c.Pool), DemandMilliwattHours: int64(c.Demand), SharedMilliwattHours: int64(c.Shared),
		Num: c.LevelNum, Den: c.LevelDen, Remainder: c.Remainder, UnitMilliwattHours: 1,
	}
	if x := c.Exact; x != nil {
		out.Exact, out.Num, out.Den, out.Cut, out.TieRank, out.Rank = true, x.Num, x.Den, x.Cut, x.TieRank, rank
		out.UnitMilliwattHours, out.Floor, out.Tier, out.Pass, out.Part = int64(x.Unit), x.Floor, int32(x.Tier), int32(x.Pass), string(x.Part)
	}
	return out
}
