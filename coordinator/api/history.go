// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/series"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Bounds of answers about the past.
const (
	maxBuckets    = 3_000 // of a curve
	usualBuckets  = 750   // at most, where the caller leaves the resolution to us
	maxBooked     = 3_000 // lines
	historyWithin = 20 * time.Second
	historyAtOnce = 4 // requests; others wait
)

// BookedInterval is what one settled interval booked for a member.
type BookedInterval struct {
	energy.Interval
	Share, FromStorage, Bought, Consumption energy.Energy
}

// Past is what the coordinator knows of what was.
type Past interface {
	// Measured is the store of time series.
	Measured() series.Store
	// Booked are a member's settled intervals that start in a span, in order, at most limit.
	Booked(ctx context.Context, member roll.MemberID, span series.Span, limit int) ([]BookedInterval, error)
	// Rolls are the registers that were in force from an instant on, in order.
	Rolls(from energy.Instant) []roll.Dated // without bids and offers
	// Zone is where the community's days begin.
	Zone() *time.Location
}

// History is the HistoryService.
type History struct {
	allmendev1.UnimplementedHistoryServiceServer
	past   Past
	least  int // members behind a total that everybody sees
	places chan struct{}
}

// NewHistory returns the service. Fewer than least members never stand behind a
// total that everybody sees.
func NewHistory(past Past, least int) *History {
	return &History{past: past, least: least, places: make(chan struct{}, historyAtOnce)}
}

// HistoryService is the service of what was.
func HistoryService(h *History) Service {
	return Service{
		Desc: &allmendev1.HistoryService_ServiceDesc, Impl: h,
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterHistoryServiceHandlerClient(ctx, mux, allmendev1.NewHistoryServiceClient(conn))
		},
	}
}

// GetCommunityHistory implements the service.
func (h *History) GetCommunityHistory(ctx context.Context, req *allmendev1.GetCommunityHistoryRequest) (*allmendev1.History, error) {
	span, err := spanOf(req.GetFromUnixMs(), req.GetToUnixMs())
	if err != nil {
		return nil, err
	}
	rolls := h.during(span)
	of := series.Subject{Kind: series.Community, Name: string(rolls[0].Community.ID)}
	shown, withheld := series.Community.Quantities(), []string(nil)
	if !access.From(ctx).May(access.ReadCurves) {
		for _, d := range rolls {
			shown, withheld = withhold(access.NewCrowd(d.Community, h.least), shown, withheld)
		}
	}
	out, err := h.curves(ctx, of, shown, span, req.GetResolutionMs())
	if err != nil {
		return nil, err
	}
	out.Withheld = withheld
	return out, nil
}

// withhold takes away the curves behind which too few members stood, as pages
// are not shown them live either.
func withhold(crowd *access.Crowd, shown []series.Quantity, withheld []string) ([]series.Quantity, []string) {
	var left []series.Quantity
	for _, q := range shown {
		passes := q == series.Share || q == series.FromStorage || q == series.Import || q == series.Export // the members' meters
		if crowd.HidesFlow() || crowd.HidesBehindMeters() && !passes {
			name, _ := nameOf(q)
			withheld = append(withheld, name)
			continue
		}
		left = append(left, q)
	}
	return left, withheld
}

// GetMemberHistory implements the service.
func (h *History) GetMemberHistory(ctx context.Context, req *allmendev1.GetMemberHistoryRequest) (*allmendev1.History, error) {
	span, err := spanOf(req.GetFromUnixMs(), req.GetToUnixMs())
	if err != nil {
		return nil, err
	}
	id := roll.MemberID(req.GetMemberId())
	if err := h.mayMember(ctx, id, span); err != nil {
		return nil, err
	}
	return h.curves(ctx, series.Subject{Kind: series.Member, Name: string(id)}, series.Member.Quantities(), span, req.GetResolutionMs())
}

// GetAssetHistory implements the service.
func (h *History) GetAssetHistory(ctx context.Context, req *allmendev1.GetAssetHistoryRequest) (*allmendev1.History, error) {
	span, err := spanOf(req.GetFromUnixMs(), req.GetToUnixMs())
	if err != nil {
		return nil, err
	}
	id := roll.AssetID(req.GetAssetId())
	kind, err := h.mayAsset(ctx, id, span)
	if err != nil {
		return nil, err
	}
	quantities := []series.Quantity{series.Power}
	if kind == roll.Battery {
		quantities = series.Asset.Quantities()
	}
	return h.curves(ctx, series.Subject{Kind: series.Asset, Name: string(id)}, quantities, span, req.GetResolutionMs())
}

// mayMember says whether the caller may see a member's curves, and that there
// is, or was, such a member. Both answers are the same.
func (h *History) mayMember(ctx context.Context, id roll.MemberID, span series.Span) error {
	if access.From(ctx).SeesCurvesOf(id) {
		for _, d := range h.during(span) {
			for _, m := range d.Community.Members {
				if m.ID == id {
					return nil
				}
			}
		}
	}
	return status.Errorf(codes.NotFound, "there is no member %.60q whose curves you may see", id)
}

// mayAsset says whether the caller may see an asset's curves in all of a span:
// who moves into a house does not see what was used there before.
func (h *History) mayAsset(ctx context.Context, id roll.AssetID, span series.Span) (kind roll.AssetKind, err error) {
	who, found, allowed := access.From(ctx), false, true
	for _, d := range h.during(span) {
		for _, a := range d.Community.Assets {
			if a.ID == id {
				found, kind = true, a.Kind
				allowed = allowed && mayOne(who, &d.Community, &a)
			}
		}
	}
	if !found || !allowed {
		return "", status.Errorf(codes.NotFound, "there is no asset %.60q whose curves you may see in all of this time", id)
	}
	return kind, nil
}

// mayOne says whether somebody may see an asset's curves as a register has it: a
// battery is its owner's, and the community's battery is everybody's; what else stands
// at a site is the affair of her who lives there.
func mayOne(who access.Principal, c *roll.Community, a *roll.Asset) bool {
	if a.Kind == roll.Battery {
		return a.Owner == "" || who.SeesCurvesOf(a.Owner)
	}
	for _, s := range c.Sites {
		if s.ID == a.Site {
			return who.SeesCurvesOf(s.Member)
		}
	}
	return who.May(access.ReadCurves) // a binding meter: all behind it
}

// during are the registers in force within a span.
func (h *History) during(span series.Span) []roll.Dated {
	all := h.past.Rolls(span.From)
	for i, d := range all {
		if i > 0 && d.From >= span.To {
			return all[:i]
		}
	}
	return all
}

func spanOf(from, to int64) (series.Span, error) {
	const latest = 4_102_444_800_000 // the year 2100
	if from < 0 || to > latest || from >= to {
		return series.Span{}, status.Errorf(codes.InvalidArgument, "from_unix_ms %d, to_unix_ms %d: write two instants in milliseconds since 1970, the earlier one first", from, to)
	}
	return series.Span{From: energy.Instant(from), To: energy.Instant(to)}, nil
}

// ladder are the resolutions to choose from.
func ladder() []series.Resolution {
	return []series.Resolution{
		series.Resolution(energy.Second), series.Resolution(10 * energy.Second), series.Resolution(energy.Minute), series.Resolution(5 * energy.Minute),
		series.Resolution(energy.QuarterHour), series.Resolution(energy.Hour), series.Resolution(4 * energy.Hour), series.Day,
	}
}

// resolve is the resolution that was asked for, or the finest that suits the
// span and is still kept.
func resolve(asked int64, span series.Span, finest series.Resolution) (series.Resolution, error) {
	r := series.Resolution(asked)
	if asked == 0 {
		for _, r = range ladder() {
			if r%finest == 0 && r.Buckets(span) <= usualBuckets {
				break
			}
		}
	}
	if err := r.Check(); err != nil {
		return 0, status.Errorf(codes.InvalidArgument, "resolution_ms: %v", err)
	}
	if n := r.Buckets(span); n > maxBuckets {
		return 0, status.Errorf(codes.InvalidArgument, "%d buckets by %s are more than the %d that are answered at once: ask for less time or a coarser resolution", n, r, maxBuckets)
	}
	return r, nil
}

// curves answers for a subject.
func (h *History) curves(ctx context.Context, of series.Subject, quantities []series.Quantity, span series.Span, asked int64) (*allmendev1.History, error) {
	store := h.past.Measured()
	r, err := resolve(asked, span, store.Finest(span.From))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, historyWithin)
	defer cancel()
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-ctx.Done():
		return nil, status.Error(codes.ResourceExhausted, "too many ask for the past at once: try again in a moment")
	}
	whole := r.Widen(span)
	out := &allmendev1.History{FromUnixMs: int64(whole.From), ToUnixMs: int64(whole.To), ResolutionMs: int64(r), Curves: make([]*allmendev1.Curve, len(quantities))}
	errs := make([]error, len(quantities))
	var asking sync.WaitGroup
	for i, q := range quantities {
		asking.Go(func() {
			buckets, err := store.Query(ctx, series.Series{Subject: of, Quantity: q}, span, r)
			out.Curves[i], errs[i] = encodeCurve(q, buckets), err
		})
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, pastStatus(ctx, err)
	}
	return out, nil
}

// pastStatus is a store's refusal on the wire.
func pastStatus(ctx context.Context, err error) error {
	if fine := new(series.TooFineError); errors.As(err, &fine) {
		return status.Errorf(codes.InvalidArgument, "resolution_ms: %v", fine)
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return status.Errorf(codes.DeadlineExceeded, "the time series did not answer within %s: ask for less time or a coarser resolution", historyWithin)
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, series.ErrUnavailable):
		return status.Error(codes.Unavailable, err.Error())
	}
	return toStatus(err)
}

func encodeCurve(q series.Quantity, buckets []series.Bucket) *allmendev1.Curve {
	name, unit := nameOf(q)
	out := &allmendev1.Curve{Quantity: name, Unit: unit, Buckets: make([]*allmendev1.CurveBucket, len(buckets))}
	for i, b := range buckets {
		e := &allmendev1.CurveBucket{
			StartUnixMs: int64(b.Start), Mean: b.Mean(), Min: b.Min, Max: b.Max,
			CoveredMs: int64(b.Covered), Count: b.Count, Quality: allmendev1.Quality(b.Quality),
		}
		if q.IsPower() {
			wh := int64(b.Energy())
			e.EnergyMilliwattHours = &wh
		}
		out.Buckets[i] = e
	}
	return out
}

// nameOf is a quantity's name on the wire, and its unit.
func nameOf(q series.Quantity) (name, unit string) {
	const milliwatts, permille = "milliwatts", "permille"
	switch q {
	case series.Charge:
		return "state_of_charge", permille
	case series.BatteryCharge:
		return "battery_charge", milliwatts
	case series.BatteryRelease:
		return "battery_discharge", milliwatts
	case series.OwnUse:
		return "own_use", milliwatts
	case series.FromStorage:
		return "from_storage", milliwatts
	case series.Power:
		return "power", milliwatts
	case series.Production:
		return "production", milliwatts
	case series.Consumption:
		return "consumption", milliwatts
	case series.Import:
		return "import", milliwatts
	case series.Export:
		return "export", milliwatts
	case series.Share:
		return "share", milliwatts
	}
	return string(q), ""
}

// GetMemberBooked implements the service.
func (h *History) GetMemberBooked(ctx context.Context, req *allmendev1.GetMemberBookedRequest) (*allmendev1.Booked, error) {
	span, err := spanOf(req.GetFromUnixMs(), req.GetToUnixMs())
	if err != nil {
		return nil, err
	}
	id := roll.MemberID(req.GetMemberId())
	if err := h.mayMember(ctx, id, span); err != nil {
		return nil, err
	}
	zone := h.past.Zone()
	var group func(energy.Instant) time.Time
	most := maxBooked
	switch by := req.GetBy(); by {
	case allmendev1.BookedBy_BOOKED_BY_UNSPECIFIED, allmendev1.BookedBy_BOOKED_BY_INTERVAL:
		group = energy.Instant.Time
	case allmendev1.BookedBy_BOOKED_BY_DAY:
		group = func(t energy.Instant) time.Time { return cutDay(t.Time().In(zone), false) }
		most = 4 * 366 * 96
	case allmendev1.BookedBy_BOOKED_BY_MONTH:
		group = func(t energy.Instant) time.Time { return cutDay(t.Time().In(zone), true) }
		most = 4 * 366 * 96
	default:
		return nil, status.Errorf(codes.InvalidArgument, "by: %d is none: write BOOKED_BY_INTERVAL, BOOKED_BY_DAY or BOOKED_BY_MONTH", by)
	}
	lines, err := h.past.Booked(ctx, id, span, most+1)
	if err != nil {
		return nil, toStatus(err)
	}
	if len(lines) > most {
		return nil, status.Errorf(codes.InvalidArgument, "there are more than %d intervals in this time, which is more than are answered at once: ask for less time", most)
	}
	return &allmendev1.Booked{Energies: addUp(lines, group)}, nil
}

// cutDay is when a day, or its month, began.
func cutDay(t time.Time, month bool) time.Time {
	y, m, d := t.Date()
	if month {
		d = 1
	}
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// addUp adds up lines that belong together; they come in order.
func addUp(lines []BookedInterval, group func(energy.Instant) time.Time) []*allmendev1.BookedEnergy {
	var out []*allmendev1.BookedEnergy
	var last time.Time
	for _, l := range lines {
		if g := group(l.Start); len(out) == 0 || !g.Equal(last) {
			out = append(out, &allmendev1.BookedEnergy{StartUnixMs: int64(l.Start)})
			last = g
		}
		e := out[len(out)-1]
		e.EndUnixMs = int64(l.End())
		e.ShareMilliwattHours += int64(l.Share)
		e.FromStorageMilliwattHours += int64(l.FromStorage)
		e.BoughtMilliwattHours += int64(l.Bought)
		e.ConsumptionMilliwattHours += int64(l.Consumption)
		e.Intervals++
	}
	return out
}
