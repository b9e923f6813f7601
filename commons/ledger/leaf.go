// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"encoding/json"

	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// Kind is what a leaf records.
type Kind string

// Kinds of leaf.
const (
	KindCharterActivated Kind = "charter_activated"
	KindIntervalSettled  Kind = "interval_settled"
	KindReversal         Kind = "reversal"
)

// Leaf is one permanent record. Exactly one of the pointers is set, as Kind says.
// A leaf says what was decided, not when or by which node: the same inputs under
// the same charter give the same bytes, also on a restored computer. The epoch
// stands beside the leaf in the store.
type Leaf struct {
	Kind      Kind              `json:"kind"`
	Community roll.CommunityID  `json:"community"`
	Charter   *CharterActivated `json:"charter,omitempty"`
	Settled   *IntervalSettled  `json:"settled,omitempty"`
	Reversal  *Reversal         `json:"reversal,omitempty"`
}

// CharterActivated puts a charter in force from Effective on.
type CharterActivated struct {
	Hash      string          `json:"hash"` // hex SHA-256 of the canonical charter
	Effective energy.Instant  `json:"effective"`
	DecidedBy string          `json:"decided_by"` // "founding" until assemblies decide
	Charter   charter.Charter `json:"charter"`
}

// IntervalSettled is the result of one interval. It holds totals and
// commitments only: what members used stands in the annex.
type IntervalSettled struct {
	Interval     energy.Interval `json:"interval"`
	Revision     int             `json:"revision"` // 0 at first, one more after each reversal
	CharterHash  string          `json:"charter_hash"`
	RulesVersion int             `json:"rules_version"`
	Quality      energy.Quality  `json:"quality"`
	Complete     bool            `json:"complete"` // false: settled at the deadline without all data
	Pools        []PoolTotals    `json:"pools"`
	Commitments  []string        `json:"commitments"` // hex, one for each annex row, in row order
}

// Reversal takes a settled interval back; the same transaction appends its
// successor. The reversed leaf's postings are booked again with the opposite sign.
type Reversal struct {
	Leaf     int64           `json:"leaf"` // index of the leaf taken back
	Interval energy.Interval `json:"interval"`
	Reason   string          `json:"reason"`
}

// PoolTotals are one pool's sums in one interval; see scheduler/settlement for how they arise.
type PoolTotals struct {
	Pool        roll.PoolID   `json:"pool"`
	Production  energy.Energy `json:"production"`
	OwnUse      energy.Energy `json:"own_use"`      // production − export, by register
	Consumption energy.Energy `json:"consumption"`  // own use + demand
	Supply      energy.Energy `json:"supply"`       // Σ export
	Demand      energy.Energy `json:"demand"`       // Σ import, with the residual of a one_meter connection
	Shared      energy.Energy `json:"shared"`       // Σ shares straight from the sun
	FromStorage energy.Energy `json:"from_storage"` // Σ shares out of storage
	Charged     energy.Energy `json:"charged"`
	ChargedGrid energy.Energy `json:"charged_grid"` // the part of Charged that came from the grid
	Discharged  energy.Energy `json:"discharged"`
	StorageLoss energy.Energy `json:"storage_loss"`
	Residual    energy.Energy `json:"residual"` // one_meter: what the submeters don't explain; may be negative
	GridImport  energy.Energy `json:"grid_import"`
	GridExport  energy.Energy `json:"grid_export"`
	// ForSale is the part of GridExport that the community sold as its own
	// (rules version 2: rest: grid, and a reserve for sale).
	ForSale energy.Energy `json:"for_sale,omitempty"`
	// Island says that the pool was cut off from the grid, and shared by its
	// charter's rule for that. An input: the register says so.
	Island bool `json:"island,omitempty"`
	// Market is how the market round came out; nil where the charter has none.
	Market *Market `json:"market,omitempty"`
	Rounds []Round `json:"rounds"`
}

// Round is a round's certificate: enough to check a member's share from her own row.
type Round struct {
	Round     string         `json:"round"`
	Source    Source         `json:"source"`
	Method    charter.Method `json:"method"`
	Pool      energy.Energy  `json:"pool"`   // what the round had to give
	Demand    energy.Energy  `json:"demand"` // Σ eligible demand, after caps
	Shared    energy.Energy  `json:"shared"`
	LevelNum  int64          `json:"level_num"` // clearing level as a fraction: equal: share = min(demand, level) in mWh;
	LevelDen  int64          `json:"level_den"` // proportional: share = demand · level. 0/0: nobody was eligible
	Remainder int64          `json:"remainder"` // single milliwatt-hours handed out by largest remainder

	Exact *Exact `json:"exact,omitempty"` // rules version 2: instead of LevelNum and LevelDen, which are 0 then
}

// Exact is a round's certificate in rules version 2, from which a member
// computes her share to the unit: whole units of
//
//	min(need, λ · weight), λ = num/den
//
// cut to the unit below, and one more where the remainder of num · weight / den is
// above cut, or equal to it and her rank not above tie_rank. 1/0 stands for a pool
// that covered everybody. Weight is 1 in equal, her need in proportional,
// else her weight or her key in millionths. A round of tiers, passes or several
// sources has a certificate for each. The numbers are strings, because they may pass 2^53.
type Exact struct {
	Tier    int           `json:"tier,omitempty"`
	Pass    int           `json:"pass,omitempty"`
	Part    charter.Name  `json:"part,omitempty"` // the source that was divided, where keys name one
	Keyed   bool          `json:"keyed,omitempty"`
	Unit    energy.Energy `json:"unit"`
	Floor   bool          `json:"floor,omitempty"` // nobody got one more
	Num     int64         `json:"num,string"`
	Den     int64         `json:"den,string"`
	Cut     int64         `json:"cut,string"`
	TieRank uint64        `json:"tie_rank,string"`
}

// Source is where a round's energy comes from.
type Source string

// Sources.
const (
	FromSun     Source = "sun"
	FromStorage Source = "storage"
)

// RowKind is what an annex row holds.
type RowKind string

// Kinds of annex row; the order of the constants is the order of rows in a leaf.
const (
	RowMember     RowKind = "member"     // Body: MemberRow
	RowStorage    RowKind = "storage"    // Body: StorageRow
	RowConnection RowKind = "connection" // Body: ConnectionRow
)

// Row is one line of the annex, the erasable part of a settled interval. Rows
// are sorted by kind, then key.
type Row struct {
	Kind    RowKind         `json:"kind"`
	Key     string          `json:"key"`     // member and pool, asset, or connection
	Subject roll.MemberID   `json:"subject"` // whose personal data it is; empty: the community's
	Body    json.RawMessage `json:"body"`    // canonical JSON
}

// MemberRow is a member's interval in one pool: what her meters said and what she got.
type MemberRow struct {
	Member roll.MemberID `json:"member"`
	Pool   roll.PoolID   `json:"pool"`
	Groups []roll.Group  `json:"groups,omitempty"`
	// Terms are what the charter's expressions gave for her at the start of the
	// weighting period: an input, as groups are, so that settling again needs no
	// expressions. Empty where the charter has none.
	Terms []charter.MemberTerm `json:"terms,omitempty"`
	// TermsFrom is the first instant of the weighting period that Terms hold for.
	TermsFrom energy.Instant `json:"terms_from,omitempty"`
	// Periods are her accounts of the rounds whose cap counts over a period, in
	// the charter's order. Empty where it has none.
	Periods []PeriodUse `json:"periods,omitempty"`
	// Bid and Offer are her orders in the market round, as they stood when the
	// interval began: inputs too. Absent where the charter has no such round.
	Bid   *roll.Order `json:"bid,omitempty"`
	Offer *roll.Order `json:"offer,omitempty"`
	Sites []SiteInput `json:"sites"`

	Residual    energy.Energy `json:"residual"` // her part of a one_meter residual; may be negative
	Demand      energy.Energy `json:"demand"`   // Σ import without community batteries, with residual
	Supply      energy.Energy `json:"supply"`   // Σ export without community batteries
	OwnUse      energy.Energy `json:"own_use"`
	Share       energy.Energy `json:"share"`        // from the sun
	FromStorage energy.Energy `json:"from_storage"` // from storage
	Sold        energy.Energy `json:"sold"`         // her part of what others (or she) received from the sun
	Stored      energy.Energy `json:"stored"`       // her part of what storage took from the sun
	GridImport  energy.Energy `json:"grid_import"`  // demand − share − from_storage − market_bought
	GridExport  energy.Energy `json:"grid_export"`  // supply − sold − stored − for_sale − market_sold: what she sells to the grid herself
	// ForSale is her part of what the community sold to the grid as its own.
	ForSale energy.Energy `json:"for_sale,omitempty"`
	// What the market round began with, and what it made of her orders; absent where
	// the charter has none.
	MarketLeft   energy.Energy `json:"market_left,omitempty"` // of hers, what she could have sold in it
	MarketBought energy.Energy `json:"market_bought,omitempty"`
	MarketSold   energy.Energy `json:"market_sold,omitempty"`
}

// PeriodUse is what a member received in a round with a cap over a period: as
// with a battery's account, each interval goes on from where the one before ended.
// A period begins with nothing, and so does who was not in the pool just before.
type PeriodUse struct {
	Round  string         `json:"round"`
	Per    charter.Period `json:"per"`
	From   energy.Instant `json:"from"`   // the period's first instant
	Before energy.Energy  `json:"before"` // received since then, as the interval begins: an input
	Got    energy.Energy  `json:"got"`    // in the interval
}

// SiteInput are the validated register differences of one site.
type SiteInput struct {
	Site       roll.SiteID    `json:"site"`
	Import     energy.Energy  `json:"import"`
	Export     energy.Energy  `json:"export"`
	Production energy.Energy  `json:"production"`
	Quality    energy.Quality `json:"quality"`
	// Metered is false where production has no meter of its own; own use is then
	// unknown and taken as zero.
	Metered bool `json:"production_metered"`
}

// Stock is stored energy by origin.
type Stock struct {
	Own     energy.Energy `json:"own"`     // the owner's reserve, which nobody else touches
	Commons energy.Energy `json:"commons"` // from the community's surplus
	Grid    energy.Energy `json:"grid"`    // from the grid, or of unknown origin
}

// StorageRow is a battery's account for an interval:
// opening + charged − discharged − loss + reconciled = closing, for each origin.
type StorageRow struct {
	Asset        roll.AssetID   `json:"asset"`
	Pool         roll.PoolID    `json:"pool"`
	Site         roll.SiteID    `json:"site"`
	Placement    roll.Placement `json:"placement"`
	Charged      energy.Energy  `json:"charged"`    // at its terminals
	Discharged   energy.Energy  `json:"discharged"` // at its terminals
	SoC          int64          `json:"soc"`        // measured at the interval's end, permille; -1 unknown
	Capacity     energy.Energy  `json:"capacity"`
	ChargeEff    int64          `json:"charge_eff"`    // millionths
	DischargeEff int64          `json:"discharge_eff"` // millionths
	Quality      energy.Quality `json:"quality"`

	Opening    Stock `json:"opening"`
	In         Stock `json:"in"`         // Charged, by origin
	Out        Stock `json:"out"`        // Discharged, by origin
	Loss       Stock `json:"loss"`       // falls on the origin that stored it
	Reconciled Stock `json:"reconciled"` // correction to the measured state of charge; may be negative
	Closing    Stock `json:"closing"`
}

// ConnectionRow is a one_meter connection's binding meter.
type ConnectionRow struct {
	Connection roll.ConnectionID `json:"connection"`
	Pool       roll.PoolID       `json:"pool"`
	Import     energy.Energy     `json:"import"`
	Export     energy.Energy     `json:"export"`
	Quality    energy.Quality    `json:"quality"`
}

// Entry is one side of a posting: debit positive, credit negative. The entries
// of one leaf sum to zero in each pool.
type Entry struct {
	Pool    roll.PoolID   `json:"pool"`
	Account string        `json:"account"`
	Amount  energy.Energy `json:"amount"`
}
