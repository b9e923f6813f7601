// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"slices"

	"github.com/allmende-energy/allmende/gateway/plan"
)

// Pass are the requests of one snapshot of a device used as kind (empty: the
// profile's first), the longest of the slow points included. No device is asked:
// where its firmware decides about a point, the point is not counted.
func (p *Profile) Pass(kind Kind) []plan.Read {
	if kind == "" && len(p.Kinds) > 0 {
		kind = p.Kinds[0]
	}
	d := &Device{profile: p, kind: kind, unknown: map[string]string{}}
	d.choose()
	spans, slow := d.wanted()
	if len(slow) > 0 {
		spans = append(spans, slices.MaxFunc(slow, func(a, b Span) int { return int(a.Count) - int(b.Count) }))
	}
	points := make([]plan.Span, len(spans))
	for i, s := range spans {
		points[i] = plan.Span{Table: plan.Table(s.Table), Addr: s.Addr, Count: s.Count}
	}
	return plan.Make(points, plan.Limits{MaxRegisters: uint16(p.Connection.MaxRegisters), MaxGap: uint16(p.Connection.MaxGap)})
}
