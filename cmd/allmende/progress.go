// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"strings"
	"time"
)

// progress is a bar on a terminal, and silent elsewhere.
type progress struct {
	out   *output
	title string
	shown time.Time
}

func newProgress(out *output, title string) *progress { return &progress{out: out, title: title} }

// show draws the bar, at most ten times a second.
func (p *progress) show(done, total int64) {
	if !p.out.IsTerminal || total <= 0 || time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	const width = 40
	filled := int(width * done / total)
	p.out.Remark("\r%s %s%s %3d %%", p.title, strings.Repeat("█", filled), strings.Repeat("·", width-filled), 100*done/total)
}

// clear takes the bar away.
func (p *progress) clear() {
	if !p.shown.IsZero() {
		p.out.Remark("\r\x1b[K")
	}
}
