// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// InForce is the charter in force.
type InForce struct {
	Charter   charter.Charter
	Hash      string
	Effective energy.Instant
}

// Settled is an interval as the ledger holds it.
type Settled struct {
	Index int64
	ledger.IntervalSettled
}

// Head is the ledger's signed head.
type Head struct {
	Checkpoint ledger.Checkpoint
	Note       []byte
	Verifier   string
}

// Commons is the coordinator behind pages and integrators.
type Commons interface {
	Charter() InForce
	// Intervals are the settled, unreversed intervals that start before an instant, newest first.
	Intervals(ctx context.Context, before energy.Instant, limit int) ([]Settled, error)
	Head(ctx context.Context) (Head, error)
	// Leaves are the canonical leaves from an index on.
	Leaves(ctx context.Context, first int64, limit int) ([][]byte, error)
	Gateways() []GatewayDetail
	// CreateToken makes a one-time enrolment token for a gateway of the register.
	CreateToken(ctx context.Context, gateway roll.GatewayID) (token string, expires time.Time, err error)
}

// Community is the CommunityService.
type Community struct {
	allmendev1.UnimplementedCommunityServiceServer
	present   atomic.Pointer[present]
	simulated bool
	least     int // members behind a total that everybody sees
	commons   Commons
	hub       *Hub
}

// NewCommunity returns the service; Follow tells it the register before
// anybody asks. Fewer than least members never stand behind a total that
// everybody sees.
func NewCommunity(simulated bool, least int, commons Commons, hub *Hub) *Community {
	return &Community{simulated: simulated, least: least, commons: commons, hub: hub}
}

// Follow makes c the present register.
func (s *Community) Follow(c roll.Community) { s.present.Store(newPresent(c, s.simulated, s.least)) }

// Page sizes.
const (
	maxPage       = 1_000
	intervalsPage = 96
	leavesPage    = 100
)

// GetCommunity implements the service.
func (s *Community) GetCommunity(ctx context.Context, _ *allmendev1.GetCommunityRequest) (*allmendev1.Community, error) {
	if !access.From(ctx).May(access.ReadRoll) {
		return s.present.Load().plain, nil
	}
	return s.present.Load().full, nil
}

// Picture is what of a tick's picture somebody may see.
func (s *Community) Picture(who access.Principal, f *Frame) *allmendev1.Live {
	return s.present.Load().picture(who, f.Live)
}

// JSON is Picture as REST and events show it. Those who may see everything
// share one encoding; the others' are small.
func (s *Community) JSON(who access.Principal, f *Frame) ([]byte, error) {
	if seesAll(who) {
		return f.JSON()
	}
	b, err := marshal().Marshal(s.Picture(who, f))
	if err != nil {
		return nil, fmt.Errorf("encoding the live picture: %w", err)
	}
	return b, nil
}

// GetCharter implements the service.
func (s *Community) GetCharter(context.Context, *allmendev1.GetCharterRequest) (*allmendev1.CharterInForce, error) {
	in := s.commons.Charter()
	canonical, err := in.Charter.Canonical()
	if err != nil {
		return nil, toStatus(err)
	}
	return &allmendev1.CharterInForce{
		Hash: in.Hash, Name: in.Charter.Name, RulesVersion: int32(in.Charter.RulesVersion), EffectiveUnixMs: int64(in.Effective),
		Explanation: in.Charter.Explain(), CanonicalJson: string(canonical),
	}, nil
}

// GetLive implements the service.
func (s *Community) GetLive(ctx context.Context, _ *allmendev1.GetLiveRequest) (*allmendev1.Live, error) {
	f := s.hub.Latest()
	if f == nil {
		return nil, status.Error(codes.Unavailable, "the first tick has not passed yet: try again in a moment")
	}
	return s.Picture(access.From(ctx), f), nil
}

// WatchLive implements the service.
func (s *Community) WatchLive(_ *allmendev1.WatchLiveRequest, stream grpc.ServerStreamingServer[allmendev1.Live]) error {
	sub, err := s.hub.Subscribe(0)
	if err != nil {
		return liveStatus(err)
	}
	defer sub.Close()
	who := access.From(stream.Context()) // when her rights change, the stream ends
	for {
		select {
		case f, open := <-sub.C:
			if !open {
				return status.Error(codes.ResourceExhausted, "read too slowly, or the coordinator is stopping: watch anew")
			}
			if err := stream.Send(s.Picture(who, f)); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

func liveStatus(err error) error {
	if errors.Is(err, ErrCrowded) {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return toStatus(err)
}

// ListIntervals implements the service.
func (s *Community) ListIntervals(ctx context.Context, req *allmendev1.ListIntervalsRequest) (*allmendev1.ListIntervalsResponse, error) {
	limit, err := pageSize(req.GetPageSize(), intervalsPage)
	if err != nil {
		return nil, err
	}
	before := energy.Instant(req.GetBeforeUnixMs())
	if before == 0 {
		before = math.MaxInt64
	}
	settled, err := s.commons.Intervals(ctx, before, limit)
	if err != nil {
		return nil, toStatus(err)
	}
	out := &allmendev1.ListIntervalsResponse{}
	for _, i := range settled {
		out.Intervals = append(out.Intervals, encodeInterval(i.Index, i.IntervalSettled))
	}
	return s.present.Load().intervals(access.From(ctx), out), nil
}

func pageSize(asked int32, usual int) (int, error) {
	switch {
	case asked < 0 || asked > maxPage:
		return 0, status.Errorf(codes.InvalidArgument, "page_size: %d, write 1 to %d, or 0 for %d", asked, maxPage, usual)
	case asked == 0:
		return usual, nil
	}
	return int(asked), nil
}

// GetCheckpoint implements the service.
func (s *Community) GetCheckpoint(ctx context.Context, _ *allmendev1.GetCheckpointRequest) (*allmendev1.Checkpoint, error) {
	h, err := s.commons.Head(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	return &allmendev1.Checkpoint{
		Size: uint64(h.Checkpoint.Size), RootHash: base64.StdEncoding.EncodeToString(h.Checkpoint.Root[:]),
		Note: string(h.Note), VerifierKey: h.Verifier,
	}, nil
}

// ListLeaves implements the service.
func (s *Community) ListLeaves(ctx context.Context, req *allmendev1.ListLeavesRequest) (*allmendev1.ListLeavesResponse, error) {
	limit, err := pageSize(req.GetPageSize(), leavesPage)
	if err != nil {
		return nil, err
	}
	if req.GetFirstIndex() > math.MaxInt64-maxPage {
		return nil, status.Errorf(codes.InvalidArgument, "first_index: %d is beyond any ledger", req.GetFirstIndex())
	}
	if hidden := s.present.Load().crowd.HiddenPools(); len(hidden) > 0 && !access.From(ctx).May(access.ReadCurves) {
		return nil, status.Errorf(codes.PermissionDenied, "the leaves hold the totals of pool %s, behind which stand fewer than %d members: ask the treasurer, or agree on a smaller people.min_aggregate; see docs/access.md", hidden[0], s.least)
	}
	leaves, err := s.commons.Leaves(ctx, int64(req.GetFirstIndex()), limit)
	if err != nil {
		return nil, toStatus(err)
	}
	out := &allmendev1.ListLeavesResponse{FirstIndex: req.GetFirstIndex()}
	for _, l := range leaves {
		out.LeavesJson = append(out.LeavesJson, string(l))
	}
	return out, nil
}

// ListGateways implements the service.
func (s *Community) ListGateways(context.Context, *allmendev1.ListGatewaysRequest) (*allmendev1.ListGatewaysResponse, error) {
	out := &allmendev1.ListGatewaysResponse{}
	for _, g := range s.commons.Gateways() {
		out.Gateways = append(out.Gateways, encodeDetail(g))
	}
	return out, nil
}

// CreateEnrolmentToken implements the service.
func (s *Community) CreateEnrolmentToken(ctx context.Context, req *allmendev1.CreateEnrolmentTokenRequest) (*allmendev1.EnrolmentToken, error) {
	if err := roll.CheckID(req.GetGatewayId()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "gateway_id: %v", err)
	}
	token, expires, err := s.commons.CreateToken(ctx, roll.GatewayID(req.GetGatewayId()))
	if err != nil {
		return nil, toStatus(err)
	}
	return &allmendev1.EnrolmentToken{Token: token, ExpiresUnixMs: expires.UnixMilli()}, nil
}
