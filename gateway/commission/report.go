// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
)

// Outcome of a proof.
type Outcome string

// Outcomes, from the best to the worst.
const (
	Passed   Outcome = "passed"
	Skipped  Outcome = "skipped" // it does not apply, or was not allowed; the text says why
	Remarked Outcome = "remark"  // something to know, nothing to stop at
	Failed   Outcome = "failed"
)

func (o Outcome) rank() int {
	switch o {
	case Failed:
		return 3
	case Remarked:
		return 2
	case Skipped:
		return 1
	default:
		return 0
	}
}

// Names of proofs.
const (
	Connection    = "connection"
	Identity      = "identity"
	Plausibility  = "plausibility"
	SignProof     = "sign"
	FallbackProof = "fallback"
	Budget        = "bus budget"
)

// Proof is one thing that was tried.
type Proof struct {
	Name    string   `json:"name"`
	Outcome Outcome  `json:"outcome"`
	Text    string   `json:"text"`           // what was found
	Next    string   `json:"next,omitempty"` // what to do about it
	Figures []Figure `json:"figures,omitempty"`
	Curve   *Curve   `json:"curve,omitempty"`
}

// Figure is a value that was measured.
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"` // a decimal
	Unit  string `json:"unit"`
}

// Curve is a step, reading by reading. Powers are in milliwatts: of the battery
// positive for discharge, of meters positive for import.
type Curve struct {
	Meters  []string      `json:"meters"`
	Samples []CurveSample `json:"samples"`
	Marks   []CurveMark   `json:"marks"`
}

// CurveSample is one reading.
type CurveSample struct {
	AtMS    int64   `json:"at_ms"`
	Target  *int64  `json:"target_milliwatts,omitempty"` // absent while the battery follows itself
	Battery int64   `json:"battery_milliwatts"`
	Meters  []int64 `json:"meters_milliwatts"`
}

// CurveMark is a moment of it.
type CurveMark struct {
	AtMS int64  `json:"at_ms"`
	Text string `json:"text"`
}

// Device is what was found out about one device.
type Device struct {
	Asset    roll.AssetID    `json:"asset"`
	URL      string          `json:"url"`
	Unit     uint8           `json:"unit"`
	Kind     roll.AssetKind  `json:"kind,omitempty"`
	Profile  string          `json:"profile,omitempty"`
	Identity device.Identity `json:"identity"`
	Commands []string        `json:"commands"` // what it can be told; empty: it is only watched
	Proofs   []Proof         `json:"proofs"`
}

// Bus is how busy a line is.
type Bus struct {
	URL     string `json:"url"`
	Devices int    `json:"devices"`
	Proof   Proof  `json:"proof"`
}

// Verdict is the report's first word.
type Verdict string

// Verdicts.
const (
	Ready            Verdict = "ready"
	ReadyWithRemarks Verdict = "ready with remarks"
	NotReady         Verdict = "not ready"
	Stopped          Verdict = "stopped" // before everything was tried
)

// FormatVersion is that of the report's JSON.
const FormatVersion = 1

// Report is what a commissioning found.
type Report struct {
	Format    int       `json:"allmende_commissioning"`
	Gateway   string    `json:"gateway"` // empty: it was not enrolled
	Community string    `json:"community"`
	Software  string    `json:"software"`
	Installer string    `json:"installer,omitempty"` // who did it, as told
	Place     string    `json:"place,omitempty"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended"`
	Verdict   Verdict   `json:"verdict"`
	Summary   string    `json:"summary"`
	House     []Proof   `json:"house"` // what concerns all devices together
	Buses     []Bus     `json:"buses"`
	Devices   []Device  `json:"devices"`
}

// Proofs are all of them, with the words that name their subject.
func (r *Report) Proofs() []Named {
	var out []Named
	for _, p := range r.House {
		out = append(out, Named{"the house", p})
	}
	for _, d := range r.Devices {
		for _, p := range d.Proofs {
			out = append(out, Named{string(d.Asset), p})
		}
	}
	for _, b := range r.Buses {
		out = append(out, Named{b.URL, b.Proof})
	}
	return out
}

// Named is a proof with what it is about.
type Named struct {
	Subject string
	Proof
}

// judge fills in the verdict.
func (r *Report) judge(stopped bool) {
	worst, count := Passed, map[Outcome]int{}
	for _, p := range r.Proofs() {
		count[p.Outcome]++
		if p.Outcome.rank() > worst.rank() {
			worst = p.Outcome
		}
	}
	switch {
	case worst == Failed:
		r.Verdict = NotReady
	case stopped:
		r.Verdict = Stopped
	case worst == Remarked:
		r.Verdict = ReadyWithRemarks
	default:
		r.Verdict = Ready
	}
	r.Summary = summary(r, count)
}
