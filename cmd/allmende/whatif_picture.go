// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"fmt"
	"html"

	"github.com/allmende-energy/allmende/scheduler/whatif"
)

// changePicture draws for each member how much more or less she would receive:
// bars to both sides of a line, with the figures beside them.
func changePicture(title string, r *whatif.Report) []byte {
	const (
		width, left, right = 760, 130, 130
		top, line          = 64, 26
		middle             = left + (width-left-right)/2
		reach              = (width - left - right) / 2
	)
	var most int64 = 1
	for i := range r.Members {
		most = max(most, r.Members[i].Received().WattHours(), -r.Members[i].Received().WattHours())
	}
	height := top + line*len(r.Members) + 34
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", html.EscapeString(title))
	fmt.Fprintf(&b, `<text x="16" y="26" font-size="16" font-weight="bold">%s</text>`+"\n", html.EscapeString(title))
	fmt.Fprintf(&b, `<text x="16" y="46" fill="#555">change of what each member receives from the others, in kWh over %d intervals</text>`+"\n", r.Intervals)
	for i := range r.Members {
		c := &r.Members[i]
		y, wh := top+line*i, c.Received().WattHours()
		long := int(max(wh, -wh) * reach / most)
		x, colour, label, anchor := middle, "#2a7f62", middle+long+6, "start"
		if wh < 0 {
			x, colour, label, anchor = middle-long, "#b3541e", middle-long-6, "end"
		}
		fmt.Fprintf(&b, `<text x="16" y="%d">%s</text>`, y+17, html.EscapeString(string(c.Member)))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`, x, y+4, long, line-8, colour)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", label, y+17, anchor, signed(kwh(wh)))
	}
	fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#333"/>`+"\n", middle, top, middle, top+line*len(r.Members))
	fmt.Fprintf(&b, `<text x="16" y="%d" fill="#555">all together: %s kWh received before, %s after</text>`+"\n</svg>\n", height-12, kwh(r.Old.Received.WattHours()), kwh(r.New.Received.WattHours()))
	return b.Bytes()
}
