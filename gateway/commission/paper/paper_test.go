// SPDX-License-Identifier: AGPL-3.0-or-later

package paper

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/commission"
)

func step(samples int) *commission.Curve {
	c := &commission.Curve{Meters: []string{"meter"}, Marks: []commission.CurveMark{{AtMS: 1000, Text: "command"}}}
	for i := range samples {
		s := commission.CurveSample{AtMS: int64(i) * 500, Meters: []int64{800_000}}
		if i > 2 && i < 9 {
			told := int64(500_000)
			s.Target, s.Battery, s.Meters[0] = &told, told, 300_000
		}
		c.Samples = append(c.Samples, s)
	}
	return c
}

func report(devices int) *commission.Report {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	r := &commission.Report{Gateway: "gw", Community: "lane", Verdict: commission.NotReady, Summary: "<b>3 devices", Began: at, Ended: at, Installer: "Žofie & Søn", Place: "Ångström → 4"}
	for i := range devices {
		r.Devices = append(r.Devices, commission.Device{
			Asset: roll.AssetID(fmt.Sprintf("battery-%d", i)), URL: "tcp://[fd00::1]:502", Kind: roll.Battery, Profile: "sunspec",
			Proofs: []commission.Proof{
				{Name: commission.Connection, Outcome: commission.Failed, Text: strings.Repeat("no answer in time, ", 30), Next: "look at the cable <script>"},
				{Name: commission.SignProof, Outcome: commission.Passed, Text: "told to change by −500 W", Curve: step(20)},
				{Name: commission.FallbackProof, Outcome: commission.Remarked, Text: "sooner", Curve: step(30)},
				{Name: commission.Plausibility, Outcome: commission.Skipped, Text: "why", Figures: []commission.Figure{{Name: "frequency", Value: "50.01", Unit: "Hz"}}},
			},
		})
	}
	return r
}

func TestPages(t *testing.T) {
	for _, n := range []int{0, 1, 12} {
		r := report(n)
		page, err := HTML(r, commission.Verified{})
		if err != nil {
			t.Fatal(err)
		}
		for _, forbidden := range []string{"<script", "<b>3", "http://", "https://"} {
			if strings.Contains(strings.ReplaceAll(string(page), `xmlns="http://www.w3.org/2000/svg"`, ""), forbidden) {
				t.Errorf("%s stands in the page", forbidden)
			}
		}
		if got := strings.Count(string(page), "<svg"); got != 2*n {
			t.Errorf("%d charts, want %d", got, 2*n)
		}
		pdf, err := PDF(r, commission.Verified{})
		if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF-")) {
			t.Errorf("%v %.10s", err, pdf)
		}
	}
}

// Whatever was measured: what is drawn stays in its box, and the names of lines
// do not stand on each other.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &commission.Curve{Meters: []string{"a", "b"}}
		at := int64(0)
		for range rapid.IntRange(0, 30).Draw(t, "samples") {
			at += rapid.Int64Range(0, 5000).Draw(t, "ms")
			s := commission.CurveSample{AtMS: at, Battery: rapid.Int64Range(-1e10, 1e10).Draw(t, "battery")}
			for range 2 {
				s.Meters = append(s.Meters, rapid.Int64Range(-1e7, 1e7).Draw(t, "meter"))
			}
			c.Samples = append(c.Samples, s)
		}
		p, ok := layOut(c, 300, 100)
		if !ok {
			return
		}
		if n := len(p.ticks); n < 2 || n > 9 {
			t.Fatalf("%d lines across", n)
		}
		for i, l := range p.lines {
			for _, q := range l.points {
				if q[0] < -0.01 || q[0] > 300.01 || q[1] < -0.01 || q[1] > 100.01 {
					t.Fatalf("%s leaves the box: %v", l.name, q)
				}
			}
			for _, o := range p.lines[:i] {
				if d := o.label - l.label; d > -8.9 && d < 8.9 {
					t.Fatalf("%s and %s stand on each other", o.name, l.name)
				}
			}
		}
	})
}
