// SPDX-License-Identifier: AGPL-3.0-or-later

package paper

import (
	"fmt"
	"math"
	"strings"

	"github.com/allmende-energy/allmende/gateway/commission"
)

// Floats below place ink on paper; nothing is booked from them.

// plot is a curve laid out in a box, ready to be drawn on any paper.
type plot struct {
	width, height float64
	lines         []polyline
	ticks         []tick // of power, with lines across
	times         []tick
	marks         []tick
}

type polyline struct {
	name   string
	color  rgb
	dashed bool
	points [][2]float64
	label  float64 // where its name stands, at the right
}

type tick struct {
	at   float64
	text string
	left bool // the text ends at it, and does not begin there
}

type rgb [3]int

func (c rgb) css() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// Colours that can be told apart in print and by colour-blind eyes.
var (
	teal   = rgb{15, 118, 110}  //nolint:gochecknoglobals // an array cannot be a constant
	orange = rgb{194, 65, 12}   //nolint:gochecknoglobals // as above
	violet = rgb{109, 40, 217}  //nolint:gochecknoglobals // as above
	grey   = rgb{120, 120, 116} //nolint:gochecknoglobals // as above
	ink    = rgb{28, 30, 29}    //nolint:gochecknoglobals // as above
	faint  = rgb{222, 222, 216} //nolint:gochecknoglobals // as above
)

// layOut puts a curve into a box; false where there is too little of it.
func layOut(c *commission.Curve, width, height float64) (plot, bool) {
	p := plot{width: width, height: height}
	if c == nil || len(c.Samples) < 2 {
		return p, false
	}
	low, high := 0.0, 0.0
	see := func(mw int64) { low, high = min(low, float64(mw)), max(high, float64(mw)) }
	for _, s := range c.Samples {
		see(s.Battery)
		if s.Target != nil {
			see(*s.Target)
		}
		for _, m := range s.Meters {
			see(m)
		}
	}
	step := nice((high - low) / 3)
	low, high = math.Floor(low/step)*step, math.Ceil(high/step)*step
	if high == low {
		high = low + step
	}
	begin, end := float64(c.Samples[0].AtMS), float64(c.Samples[len(c.Samples)-1].AtMS)
	if end <= begin {
		return p, false
	}
	x := func(ms int64) float64 { return (float64(ms) - begin) / (end - begin) * width }
	y := func(mw float64) float64 { return height - (mw-low)/(high-low)*height }
	for v := low; v <= high+step/2; v += step {
		p.ticks = append(p.ticks, tick{at: y(v), text: number(v / 1000)})
	}
	for s, every := 0.0, nice((end-begin)/4000); s*1000 <= end-begin; s += every {
		p.times = append(p.times, tick{at: s * 1000 / (end - begin) * width, text: fmt.Sprintf("%g s", s)})
	}
	p.ticks[len(p.ticks)-1].text += " W"
	for i, m := range c.Marks {
		at := x(m.AtMS)
		p.marks = append(p.marks, tick{at, m.Text, at > width*4/5 || i == 0 && len(c.Marks) > 1})
	}
	p.add(c, x, y)
	p.spread()
	return p, true
}

func (p *plot) add(c *commission.Curve, x func(int64) float64, y func(float64) float64) {
	target := polyline{name: "told", color: grey, dashed: true}
	battery := polyline{name: "battery", color: teal}
	for _, s := range c.Samples {
		battery.points = append(battery.points, [2]float64{x(s.AtMS), y(float64(s.Battery))})
		if s.Target != nil {
			target.points = append(target.points, [2]float64{x(s.AtMS), y(float64(*s.Target))})
		}
	}
	if len(target.points) > 1 {
		p.lines = append(p.lines, target)
	}
	colors := []rgb{orange, violet}
	for i, name := range c.Meters {
		l := polyline{name: name, color: colors[i%len(colors)]}
		for _, s := range c.Samples {
			if i < len(s.Meters) {
				l.points = append(l.points, [2]float64{x(s.AtMS), y(float64(s.Meters[i]))})
			}
		}
		p.lines = append(p.lines, l)
	}
	p.lines = append(p.lines, battery)
}

// spread puts the names beside the ends of their lines, none over another.
func (p *plot) spread() {
	const apart = 9.0
	var placed []float64
	for i := range p.lines {
		l := &p.lines[i]
		if len(l.points) == 0 {
			continue
		}
		at := l.points[len(l.points)-1][1]
		for clash := true; clash; {
			clash = false
			for _, o := range placed {
				if math.Abs(o-at) < apart {
					at, clash = o+apart+0.1, true // a rounded sum must not clash again
				}
			}
		}
		l.label = at
		placed = append(placed, at)
	}
}

// nice is the smallest of 1, 2 and 5 times a power of ten from v on.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*base >= v {
			return f * base
		}
	}
	return 10 * base
}

func number(v float64) string {
	return strings.Replace(fmt.Sprintf("%g", v), "-", "−", 1)
}

// svg draws the plot with room for its labels around it.
func (p plot) svg(title string) string {
	const left, right, top, bottom = 44, 96, 10, 22
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s" xmlns="http://www.w3.org/2000/svg">`, p.width+left+right, p.height+top+bottom, escape(title))
	fmt.Fprintf(&b, `<g transform="translate(%d %d)" font-size="9" fill="%s">`, left, top, grey.css())
	for _, t := range p.ticks {
		fmt.Fprintf(&b, `<path d="M0 %.1fH%.0f" stroke="%s"/><text x="-6" y="%.1f" text-anchor="end">%s</text>`, t.at, p.width, faint.css(), t.at+3, t.text)
	}
	for _, t := range p.times {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, t.at, p.height+14, t.text)
	}
	for _, t := range p.marks {
		anchor, x := "start", t.at-1
		if t.left {
			anchor, x = "end", t.at+1
		}
		fmt.Fprintf(&b, `<path d="M%.1f 0V%.1f" stroke="%s" stroke-dasharray="1 3"/><text x="%.1f" y="-3" text-anchor="%s" font-size="8">%s</text>`, t.at, p.height, grey.css(), x, anchor, escape(t.text))
	}
	for _, l := range p.lines {
		dash := ""
		if l.dashed {
			dash = ` stroke-dasharray="5 3"`
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.8" stroke-linejoin="round"%s points="`, l.color.css(), dash)
		for _, q := range l.points {
			fmt.Fprintf(&b, "%.1f,%.1f ", q[0], q[1])
		}
		fmt.Fprintf(&b, `"/><text x="%.1f" y="%.1f" fill="%s" font-weight="600">%s</text>`, p.width+6, l.label+3, l.color.css(), escape(short(l.name, 14)))
	}
	b.WriteString(`</g></svg>`)
	return b.String()
}

func short(s string, most int) string {
	r := []rune(s)
	if len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
