// SPDX-License-Identifier: AGPL-3.0-or-later

// Package doctor looks at a computer that runs a part of Allmende and says what
// it sees, whether that is well, and how to mend it. Each [Check] is small and
// stands alone: one that fails, or does not come to an end, hides no other.
//
// Here are the checks of the computer itself: clock, disks, memory, files. What
// a coordinator or a gateway needs besides is in their own packages.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// State is what a check says.
type State string

// States, from good to bad.
const (
	OK   State = "ok"
	Warn State = "warn" // it works; somebody should see to it
	Fail State = "fail" // it does not work, or will soon not
)

// Finding is what a check saw of one thing.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Seen  string `json:"seen"`
	Mend  string `json:"mend,omitempty"` // what to do; empty where all is well
}

// Well is a finding that needs nothing.
func Well(format string, args ...any) Finding {
	return Finding{State: OK, Seen: fmt.Sprintf(format, args...)}
}

// Worry is a finding that somebody should see to.
func Worry(mend, format string, args ...any) Finding {
	return Finding{State: Warn, Mend: mend, Seen: fmt.Sprintf(format, args...)}
}

// Ill is a finding of something that does not work.
func Ill(mend, format string, args ...any) Finding {
	return Finding{State: Fail, Mend: mend, Seen: fmt.Sprintf(format, args...)}
}

// Check looks at one thing, or at several of a kind. It changes nothing.
type Check struct {
	Name string
	// Patience bounds it; 0: ten seconds.
	Patience time.Duration
	Look     func(context.Context) []Finding
}

const usualPatience = 10 * time.Second

// Report is everything that was found.
type Report struct {
	Findings []Finding `json:"findings"`
	Warnings int       `json:"warnings"`
	Failures int       `json:"failures"`
}

// Run makes the checks, one after the other, and hands each finding to show,
// which may be nil, as soon as it is there.
func Run(ctx context.Context, checks []Check, show func(Finding)) Report {
	r := Report{Findings: []Finding{}}
	for _, c := range checks {
		for _, f := range c.run(ctx) {
			f.Check = c.Name
			r.Findings = append(r.Findings, f)
			switch f.State {
			case OK:
			case Warn:
				r.Warnings++
			case Fail:
				r.Failures++
			}
			if show != nil {
				show(f)
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return r
}

// run makes one check. What it waits for ends with its patience; a check that
// waits for something that cannot be ended is left behind.
func (c Check) run(ctx context.Context) []Finding {
	patience := c.Patience
	if patience == 0 {
		patience = usualPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- c.Look(ctx) }()
	const farewell = 2 * time.Second // to say what it was waiting for
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
	}
	select {
	case found := <-done:
		return found
	case <-time.After(farewell):
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return []Finding{Ill("a disk or a network share that does not answer is the usual cause: see dmesg and mount", "it did not come to an end within %s", patience)}
}
