// SPDX-License-Identifier: AGPL-3.0-or-later

package device

import (
	"context"

	"github.com/allmende-energy/allmende/energy"
)

// LaidOut is a device that says itself where its registers are, as SunSpec
// devices do. Others have no layout but their profile's.
type LaidOut interface {
	Layout() Layout
}

// Layout is the chain of models that a device shows.
type Layout struct {
	Base    uint16 // address of the marker
	Models  []Model
	Remarks []string // what is odd about it, for the installer
}

// Model is a model's place in a [Layout].
type Model struct {
	ID      uint16 `json:"id"`
	Address uint16 `json:"address"` // of the id
	Length  uint16 `json:"length"`  // registers after the length, as the device says
}

// Probed is all that a device says, in the form that is printed as JSON.
//
// Points of SunSpec models are named as the models name them. A point in a
// group has the group's name before it, with a number from 1 on where the group
// repeats: Prt.2.DCW, Crv.1.Pt.3.V, PFWInj.PF.
type Probed struct {
	Unit    uint8    `json:"unit"`
	Base    *uint16  `json:"base,omitempty"` // nil where the device has no layout of its own
	Profile string   `json:"profile"`
	Device  Identity `json:"device"`
	Models  []Model  `json:"models"`
	Points  []Point  `json:"points"`
	Remarks []string `json:"remarks,omitempty"`
}

// Point is one [Value] as it is printed.
type Point struct {
	Name    string         `json:"name"`
	Model   uint16         `json:"model"`
	Address uint16         `json:"address"`
	Value   string         `json:"value,omitempty"` // a decimal after scaling, or text; empty: there is none
	Unit    string         `json:"unit"`
	Quality energy.Quality `json:"quality"`
	Meaning string         `json:"meaning,omitempty"` // of an enumerated value
	Reason  string         `json:"reason,omitempty"`
}

// Probe reads all that d says; unit is the one it was opened with.
func Probe(ctx context.Context, unit uint8, d Device) (Probed, error) {
	values, err := d.Points(ctx)
	if err != nil {
		return Probed{}, err
	}
	p := Probed{Unit: unit, Profile: d.Profile(), Device: d.Identity(), Models: []Model{}, Points: make([]Point, 0, len(values))}
	if l, ok := d.(LaidOut); ok {
		layout := l.Layout()
		p.Base, p.Remarks = &layout.Base, layout.Remarks
		p.Models = append(p.Models, layout.Models...)
	}
	for _, v := range values {
		q := Point{Name: v.Name, Model: v.Model, Address: v.Address, Value: v.Decimal, Unit: v.Unit, Quality: v.Quality, Reason: v.Reason}
		if v.Decimal == "" {
			q.Value = v.Text
		} else {
			q.Meaning = v.Text
		}
		p.Points = append(p.Points, q)
	}
	return p, nil
}
