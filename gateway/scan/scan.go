// SPDX-License-Identifier: AGPL-3.0-or-later

// Package scan finds devices that speak Modbus, politely: only where it was
// told to look, few at a time, one request after the other at each, and only
// reads.
package scan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
)

// Line is an open bus, for as long as one unit is looked at.
type Line interface {
	ReadHolding(ctx context.Context, unit uint8, addr, n uint16) ([]uint16, error)
	Close()
}

// Options say how to look.
type Options struct {
	Units    []uint8
	Parallel int           // hosts at a time; 0: 16
	Connect  time.Duration // wait for a connection; 0: 500 ms
	// Open makes a line; nothing is sent yet.
	Open func(ctx context.Context, url string) (Line, error)
	// Identify finds out what answers as a unit.
	Identify func(ctx context.Context, l Line, unit uint8) (device.Device, error)
	// Progress is told after each address; nil: nobody is.
	Progress func(done, total int)
}

// Found is a unit that answers.
type Found struct {
	URL      string          `json:"url"`
	Unit     uint8           `json:"unit"`
	Also     []int           `json:"also,omitempty"` // units as which the same device answers
	Kind     roll.AssetKind  `json:"kind,omitempty"`
	Profile  string          `json:"profile,omitempty"` // empty: not identified
	Device   device.Identity `json:"device"`
	Models   []uint16        `json:"models,omitempty"` // of SunSpec
	Problem  string          `json:"problem,omitempty"`
	Commands []string        `json:"commands,omitempty"` // what it can be told
}

// Remark is something else that was met: a port that is no Modbus, or a line
// that could not be used.
type Remark struct {
	URL  string `json:"url"`
	Text string `json:"text"`
}

// Result is what a scan has found so far.
type Result struct {
	Found   []Found  `json:"found"`
	Remarks []Remark `json:"remarks"`
	Asked   int      `json:"addresses_asked"`
	Named   int      `json:"addresses_named"`
}

const (
	defaultParallel = 16
	defaultConnect  = 500 * time.Millisecond
)

// Run looks at every address of every host. When ctx ends it returns what was
// found until then, and each device once.
func Run(ctx context.Context, hosts []Host, o Options, each func(Found)) Result {
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.Connect <= 0 {
		o.Connect = defaultConnect
	}
	s := &scanner{o: o, each: each, result: Result{Found: []Found{}, Remarks: []Remark{}}}
	for _, h := range hosts {
		s.result.Named += len(h.URLs)
	}
	queue := make(chan Host)
	var workers sync.WaitGroup
	for range min(o.Parallel, len(hosts)) {
		workers.Go(func() {
			for h := range queue {
				s.host(ctx, h)
			}
		})
	}
	for _, h := range hosts {
		select {
		case queue <- h:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(queue)
	workers.Wait()
	slices.SortFunc(s.result.Found, func(a, b Found) int {
		if a.URL != b.URL {
			return strings.Compare(a.URL, b.URL)
		}
		return int(a.Unit) - int(b.Unit)
	})
	slices.SortFunc(s.result.Remarks, func(a, b Remark) int { return strings.Compare(a.URL, b.URL) })
	return s.result
}

type scanner struct {
	o      Options
	each   func(Found)
	mu     sync.Mutex
	result Result
}

func (s *scanner) host(ctx context.Context, h Host) {
	for _, url := range h.URLs {
		if ctx.Err() != nil {
			return
		}
		found, remark := s.address(ctx, url)
		s.mu.Lock()
		for _, f := range found {
			s.result.Found = append(s.result.Found, f)
			s.each(f)
		}
		if remark != "" && ctx.Err() == nil {
			s.result.Remarks = append(s.result.Remarks, Remark{url, remark})
		}
		s.result.Asked++
		if s.o.Progress != nil {
			s.o.Progress(s.result.Asked, s.result.Named)
		}
		s.mu.Unlock()
	}
}

// address looks at one address, unit by unit. What it says beside the devices
// is for a person who wonders why there is none.
func (s *scanner) address(ctx context.Context, url string) (found []Found, remark string) {
	tcp, isTCP := strings.CutPrefix(url, "tcp://")
	if isTCP && !s.listens(ctx, tcp) {
		return nil, ""
	}
	said := false
	for _, unit := range s.o.Units {
		f, err := s.unit(ctx, url, unit)
		switch {
		case ctx.Err() != nil:
			return found, ""
		case err == nil:
			said = true
			if i := slices.IndexFunc(found, f.same); i >= 0 {
				found[i].Also = append(found[i].Also, int(unit))
			} else {
				found = append(found, f)
			}
		case errors.Is(err, modbus.ErrTimeout), absent(err):
		case isTCP && !said:
			if what := Sniff(ctx, tcp); what != "" {
				return nil, what
			}
			return nil, "the port is open, but what listens there does not speak Modbus"
		case !said:
			return nil, err.Error()
		}
	}
	if len(found) == 0 && isTCP {
		if what := Sniff(ctx, tcp); what != "" {
			return nil, what
		}
		return nil, fmt.Sprintf("the port is open, but none of the units %s answers: try others with --units", UnitList(s.o.Units))
	}
	if len(found) == 0 {
		return nil, fmt.Sprintf("none of the units %s answers: check wiring, speed and parity, or try others with --units", UnitList(s.o.Units))
	}
	return found, ""
}

// listens knocks once, without a word.
func (s *scanner) listens(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{Timeout: s.o.Connect}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// unit asks one unit, on a connection of its own: after a silence the next unit
// must not wait for the pause that a bus makes then.
func (s *scanner) unit(ctx context.Context, url string, unit uint8) (Found, error) {
	l, err := s.o.Open(ctx, url)
	if err != nil {
		return Found{}, err
	}
	defer l.Close()
	// One read tells whether anybody is there; SunSpec's usual place is as good as any.
	const first = 40000
	_, err = l.ReadHolding(ctx, unit, first, 2)
	var refused modbus.ErrException
	if err != nil && (!errors.As(err, &refused) || absent(err)) {
		return Found{}, err
	}
	f := Found{URL: url, Unit: unit}
	d, err := s.o.Identify(ctx, l, unit)
	if err != nil {
		f.Problem = problem(err)
		return f, nil
	}
	f.Kind, f.Profile, f.Device = d.Kind(), d.Profile(), d.Identity()
	if laid, ok := d.(device.LaidOut); ok {
		for _, m := range laid.Layout().Models {
			f.Models = append(f.Models, m.ID)
		}
	}
	for _, c := range d.Controls() {
		f.Commands = append(f.Commands, string(c.Quantity))
	}
	return f, nil
}

// absent is the answer of a Modbus gateway for a unit that is not there.
func absent(err error) bool {
	var refused modbus.ErrException
	return errors.As(err, &refused) && (refused.Code == modbus.TargetSilent || refused.Code == modbus.PathUnavailable)
}

func problem(err error) string {
	if refused, ok := errors.AsType[modbus.ErrException](err); ok {
		return fmt.Sprintf("it speaks Modbus but refuses to be identified (exception %d): name what it is with `allmende gateway probe URL --unit N --profile NAME`", refused.Code)
	}
	return "it speaks Modbus but was not identified: name what it is with `allmende gateway probe URL --unit N --profile NAME`"
}

// same says that o is f once more, under another unit id: some devices answer
// to any.
func (f Found) same(o Found) bool {
	if f.Profile == "" || o.Profile == "" {
		return f.Profile == o.Profile && f.Problem == o.Problem
	}
	return f.Device.Serial != "" && f.Device == o.Device && f.Kind == o.Kind && slices.Equal(f.Models, o.Models)
}

// UnitList is units for a person, the first ten.
func UnitList[N uint8 | int](units []N) string {
	const most = 10
	words := make([]string, 0, most)
	for i, u := range units {
		if i == most {
			words = append(words, "…")
			break
		}
		words = append(words, fmt.Sprint(u))
	}
	return strings.Join(words, ", ")
}
