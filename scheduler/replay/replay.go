// SPDX-License-Identifier: AGPL-3.0-or-later

// Package replay runs recorded intervals through the scheduler's own dispatch
// and settlement, offline and as fast as it can: what would this charter have
// done with last year?
package replay

import (
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/scheduler/dispatch"
	"github.com/allmende-energy/allmende/scheduler/settlement"
)

// Home is one member's record: what she used and made in each interval.
type Home struct {
	Member roll.MemberID
	Load   []energy.Energy
	Sun    []energy.Energy
}

// Battery is a community battery beside a home. It starts empty.
type Battery struct {
	Asset        roll.AssetID
	Capacity     energy.Energy
	Power        energy.Power // charging and discharging
	ChargeEff    int64        // millionths
	DischargeEff int64        // millionths
}

// Record is what is replayed. Every home has as many intervals as there are prices.
type Record struct {
	Start     energy.Instant // of the first interval
	Length    energy.Span    // of each interval
	Homes     []Home
	Batteries []Battery
	Prices    []energy.Price // of grid import
	// Calendar cuts days, months and years for caps over a period, as in service;
	// a charter with such caps needs one.
	Calendar charter.Calendar
}

// Totals are sums over the replayed intervals.
type Totals struct {
	Production, Consumption, OwnUse  energy.Energy
	Shared, FromStorage              energy.Energy // received: from the sun, from storage
	Sold, Stored                     energy.Energy // given: to members, to storage
	GridImport, GridExport           energy.Energy
	Charged, Discharged, StorageLoss energy.Energy
	// ImportAt and AloneAt are grid import by price, with sharing and storage
	// and without both: the ratio of their values is the cost ratio.
	ImportAt, AloneAt map[energy.Price]energy.Energy
}

// Result is a replay's outcome.
type Result struct {
	Intervals int
	Community Totals
	ByMember  []Totals // in the order of the record's homes
}

// Replay is a run under way. Create it with [New], step it until Next is false.
type Replay struct {
	charter *charter.Charter
	rec     Record
	settler settlement.Settler
	in      settlement.Input
	uses    settlement.Uses // of caps over a period
	homeOf  map[roll.MemberID]int
	devices []dispatch.Battery
	powers  []energy.Power
	at      int
	result  Result
}

// New checks the record and prepares the run.
func New(ch *charter.Charter, rec Record) (*Replay, error) {
	if rec.Length <= 0 || energy.Day%rec.Length != 0 {
		return nil, fmt.Errorf("replay: an interval of %v does not divide a day", rec.Length)
	}
	if rec.Calendar == nil && len(ch.PeriodRounds()) > 0 {
		return nil, errors.New("replay: the charter has a cap over a period, and nobody says when days, months and years begin")
	}
	r := &Replay{
		charter: ch, rec: rec, homeOf: map[roll.MemberID]int{},
		devices: make([]dispatch.Battery, len(rec.Batteries)), powers: make([]energy.Power, len(rec.Batteries)),
	}
	for i, h := range rec.Homes {
		if len(h.Load) != len(rec.Prices) || len(h.Sun) != len(rec.Prices) {
			return nil, fmt.Errorf("replay: home %q has %d and %d intervals, there are %d prices", h.Member, len(h.Load), len(h.Sun), len(rec.Prices))
		}
		r.homeOf[h.Member] = i
		r.in.Members = append(r.in.Members, ledger.MemberRow{
			Member: h.Member, Pool: roll.GridPool,
			Sites: []ledger.SiteInput{{Site: roll.SiteID(h.Member), Metered: true}},
		})
	}
	for i, b := range rec.Batteries {
		r.devices[i] = dispatch.Battery{
			Capacity: b.Capacity, MaxCharge: b.Power, MaxDischarge: b.Power, Ceiling: b.Capacity,
			ChargeEff: b.ChargeEff, DischargeEff: b.DischargeEff,
		}
		r.in.Storage = append(r.in.Storage, ledger.StorageRow{
			Asset: b.Asset, Pool: roll.GridPool, Placement: roll.OwnMeter, SoC: -1,
			Capacity: b.Capacity, ChargeEff: b.ChargeEff, DischargeEff: b.DischargeEff,
		})
	}
	r.result.ByMember = make([]Totals, len(rec.Homes))
	for i := range r.result.ByMember {
		r.result.ByMember[i].prepare()
	}
	r.result.Community.prepare()
	return r, nil
}

// Next replays one interval. It is false when there is none left.
func (r *Replay) Next() (bool, error) {
	if r.at == len(r.rec.Prices) {
		return false, nil
	}
	r.in.Interval = energy.Interval{Start: r.rec.Start.Add(energy.Span(r.at) * r.rec.Length), Length: r.rec.Length}
	for i := range r.in.Members {
		m := &r.in.Members[i]
		m.Periods = r.uses.Open(r.charter, r.rec.Calendar, r.in.Interval.Start, m.Member, m.Pool)
	}
	surplus, deficit := r.measure()
	r.steer(surplus, deficit)
	res, err := r.settler.Settle(r.charter, r.in)
	if err != nil {
		return false, err
	}
	r.uses = settlement.UsesOf(res.Members)
	r.tally(&res)
	r.at++
	r.result.Intervals = r.at
	return true, nil
}

// Done is how many intervals were replayed, of how many.
func (r *Replay) Done() (done, total int) { return r.at, len(r.rec.Prices) }

// Result is what the intervals so far add up to.
func (r *Replay) Result() Result { return r.result }

// measure turns load and sun into what a meter would have counted.
func (r *Replay) measure() (surplus, deficit energy.Energy) {
	var net energy.Energy
	for i := range r.in.Members {
		h, site := &r.rec.Homes[i], &r.in.Members[i].Sites[0]
		load, sun := h.Load[r.at], h.Sun[r.at]
		site.Production, site.Import, site.Export = sun, max(load-sun, 0), max(sun-load, 0)
		net += load - sun
	}
	return max(-net, 0), max(net, 0)
}

// steer lets dispatch decide for the interval as it would for a tick, and lets
// the batteries obey.
func (r *Replay) steer(surplus, deficit energy.Energy) {
	if len(r.devices) == 0 {
		return
	}
	for i := range r.devices {
		s := r.in.Storage[i].Opening
		r.devices[i].Stock = s.Own + s.Commons + s.Grid
	}
	length := r.rec.Length
	dispatch.Decide(r.powers, r.devices, surplus.MeanPower(length), deficit.MeanPower(length), length)
	for i, p := range r.powers {
		r.in.Storage[i].Charged = max(-p, 0).Over(length)
		r.in.Storage[i].Discharged = max(p, 0).Over(length)
	}
}

func (r *Replay) tally(res *settlement.Result) {
	price := r.rec.Prices[r.at]
	for i := range res.Storage { // settled rows stand in the order of assets, as ours may not
		for j := range r.in.Storage {
			if r.in.Storage[j].Asset == res.Storage[i].Asset {
				r.in.Storage[j].Opening = res.Storage[i].Closing
			}
		}
	}
	for _, p := range res.Pools {
		c := &r.result.Community
		c.Charged += p.Charged
		c.Discharged += p.Discharged
		c.StorageLoss += p.StorageLoss
		c.GridImport += p.GridImport
		c.GridExport += p.GridExport
		c.ImportAt[price] += p.GridImport
	}
	for i := range res.Members {
		m := &res.Members[i]
		t := &r.result.ByMember[r.homeOf[m.Member]]
		t.add(m, price)
		t.GridImport += m.GridImport
		t.GridExport += m.GridExport
		t.ImportAt[price] += m.GridImport
		r.result.Community.add(m, price)
	}
}

func (t *Totals) prepare() {
	t.ImportAt, t.AloneAt = map[energy.Price]energy.Energy{}, map[energy.Price]energy.Energy{}
}

func (t *Totals) add(m *ledger.MemberRow, price energy.Price) {
	t.Production += m.Sites[0].Production
	t.Consumption += m.OwnUse + m.Demand
	t.OwnUse += m.OwnUse
	t.Shared += m.Share
	t.FromStorage += m.FromStorage
	t.Sold += m.Sold
	t.Stored += m.Stored
	t.AloneAt[price] += m.Demand
}
