// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/device"
)

// Unit is a device as the gateway's configuration has it.
type Unit struct {
	Asset    roll.AssetID
	URL      string
	Unit     uint8
	Device   device.Device // nil: it could not be opened
	Problem  string        // why
	Next     string        // what to do about it
	ReadOnly bool
	Waiver   bool // somebody signed that it may be commanded without a timer of its own
	// Limits of the configuration; MaxCharge and MaxDischarge 0: the device's own.
	MaxCharge, MaxDischarge energy.Power
	LeastSoC, MostSoC       int64 // permille
}

// Site is what is commissioned.
type Site struct {
	Gateway, Community, Software, Installer, Place string

	Units []Unit
	Poll  time.Duration // how often the gateway will read everything
}

// Options say how.
type Options struct {
	Step   energy.Power  // of the proofs that move a battery; 0: none are tried
	Period time.Duration // between two readings
	Timer  time.Duration // of the fallback proof; 0: UsualTimer
	Settle time.Duration // how long a battery may take to follow; 0: half a minute
	Only   roll.AssetID  // prove this battery alone; empty: each
	// Ask is asked before a battery is moved; false leaves it alone.
	Ask func(question string) bool
	// Say is told what is being done; nil: nobody is.
	Say func(subject, doing string)
	// Proved is told each result; nil: nobody is.
	Proved func(subject string, p Proof)
	// Now and Sleep are the clock; nil: the real one. Sleep ends early with ctx.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration)
}

// Bounds of the step, for whoever reads a flag.
const (
	LeastStep   = 200 * energy.Watt
	MostStep    = 3 * energy.Kilowatt
	UsualStep   = 500 * energy.Watt
	LeastPeriod = 50 * time.Millisecond
	MostPeriod  = 5 * time.Second
	UsualPeriod = 500 * time.Millisecond
	LeastTimer  = 2 * time.Second
	MostTimer   = 5 * time.Minute
	UsualTimer  = 10 * time.Second
)

const (
	connectionReads = 5
	rounds          = 3
	deviceTime      = 15 * time.Second // for one operation with a device
	triesOfStep     = 3
)

// tried is a unit with what was found.
type tried struct {
	unit     Unit
	readings []reading
	report   Device
}

type runner struct {
	site Site
	o    Options
	all  []*tried
}

// Run commissions a site. When ctx ends, whatever was written is taken back
// before it returns, and the report says how far it came.
func Run(ctx context.Context, site Site, o Options) *Report {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Say == nil {
		o.Say = func(string, string) {}
	}
	if o.Proved == nil {
		o.Proved = func(string, Proof) {}
	}
	if o.Timer == 0 {
		o.Timer = UsualTimer
	}
	if o.Settle == 0 {
		o.Settle = settleWithin
	}
	r := &runner{site: site, o: o}
	report := &Report{
		Format: FormatVersion, Gateway: site.Gateway, Community: site.Community, Software: site.Software,
		Installer: site.Installer, Place: site.Place, Began: o.Now().UTC().Truncate(time.Second),
		House: []Proof{}, Buses: []Bus{}, Devices: []Device{},
	}
	for _, u := range site.Units {
		r.all = append(r.all, r.meet(ctx, u))
	}
	if ctx.Err() == nil {
		report.House = append(report.House, r.proved("the house", balance(r.all)))
		report.Buses = r.buses(ctx)
		r.batteries(ctx)
	}
	for _, d := range r.all {
		report.Devices = append(report.Devices, d.report)
	}
	report.Ended = o.Now().UTC().Truncate(time.Second)
	report.judge(ctx.Err() != nil)
	return report
}

func (r *runner) proved(subject string, p Proof) Proof {
	r.o.Proved(subject, p)
	return p
}

func (d *tried) add(r *runner, p Proof) {
	d.report.Proofs = append(d.report.Proofs, r.proved(string(d.unit.Asset), p))
}

// meet reads a device some times: connection, identity, plausibility.
func (r *runner) meet(ctx context.Context, u Unit) *tried {
	d := &tried{unit: u, report: Device{Asset: u.Asset, URL: u.URL, Unit: u.Unit, Commands: []string{}, Proofs: []Proof{}}}
	if u.Device == nil {
		d.add(r, Proof{Name: Connection, Outcome: Failed, Text: u.Problem, Next: u.Next})
		return d
	}
	d.report.Kind, d.report.Profile, d.report.Identity = u.Device.Kind(), u.Device.Profile(), u.Device.Identity()
	for _, c := range u.Device.Controls() {
		d.report.Commands = append(d.report.Commands, string(c.Quantity))
	}
	r.o.Say(string(u.Asset), "reading")
	var failed error
	lost := 0
	for i := 0; i < connectionReads && ctx.Err() == nil; i++ {
		if i > 0 {
			r.o.Sleep(ctx, r.o.Period)
		}
		v, err := r.read(ctx, u.Device)
		if err != nil {
			lost, failed = lost+1, err
			continue
		}
		d.readings = append(d.readings, v)
	}
	if ctx.Err() != nil && len(d.readings) == 0 {
		return d
	}
	d.add(r, connection(d.readings, lost, failed))
	if len(d.readings) == 0 {
		return d
	}
	d.add(r, identity(d.report, r.all))
	points, err := u.Device.Points(ctx)
	if err != nil {
		points = nil // the connection was judged above; what was read is judged without
	}
	d.add(r, plausible(u.Device.Kind(), d.readings, points))
	return d
}

func (r *runner) read(ctx context.Context, d device.Device) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, deviceTime)
	defer cancel()
	begun := r.o.Now()
	s, err := d.Read(ctx)
	end := r.o.Now()
	return reading{at: begun.Add(end.Sub(begun) / 2), took: end.Sub(begun), Snapshot: s}, err
}

func connection(readings []reading, lost int, failed error) Proof {
	p := Proof{Name: Connection, Outcome: Passed}
	if len(readings) == 0 {
		p.Outcome, p.Text = Failed, "no reading worked: "+inLine(failed)
		p.Next = "allmende gateway probe URL --unit N says what is wrong and what to do"
		return p
	}
	took := make([]time.Duration, len(readings))
	for i, v := range readings {
		took[i] = v.took
	}
	slices.Sort(took)
	p.Figures = []Figure{
		{"readings", fmt.Sprintf("%d", len(readings)), ""}, {"a reading takes", milliseconds(took[len(took)/2]), "ms"}, {"at most", milliseconds(took[len(took)-1]), "ms"},
	}
	p.Text = fmt.Sprintf("%d of %d readings worked, in %s ms each", len(readings), len(readings)+lost, milliseconds(took[len(took)/2]))
	if lost > 0 {
		p.Outcome = Remarked
		p.Text += "; one failed: " + inLine(failed)
		p.Next = "see that no other program reads it, and the wiring of a serial line (termination, shield, speed)"
	}
	return p
}

func milliseconds(d time.Duration) string {
	tenths := (d + 50*time.Microsecond) / (100 * time.Microsecond)
	return fmt.Sprintf("%d.%d", tenths/10, tenths%10)
}

func identity(d Device, others []*tried) Proof {
	id := d.Identity
	p := Proof{Name: Identity, Outcome: Passed, Text: strings.TrimSpace(fmt.Sprintf("%s %s", id.Manufacturer, id.Model))}
	if p.Text == "" {
		p.Text = "it does not say who made it; read by profile " + d.Profile
	}
	if id.Version != "" {
		p.Text += ", firmware " + id.Version
	}
	if id.Serial == "" {
		p.Outcome, p.Next = Remarked, "note its serial number by hand"
		p.Text += "; it tells no serial number"
		return p
	}
	p.Text += ", serial " + id.Serial
	for _, o := range others {
		if o.report.Identity == id && o.report.Kind == d.Kind {
			p.Outcome, p.Text = Failed, fmt.Sprintf("it is the same device as %s (serial %s)", o.unit.Asset, id.Serial)
			p.Next = "one of the two has a wrong address or unit id in gateway.yaml"
		}
	}
	return p
}

// buses measures how long one round over all devices of a line takes.
func (r *runner) buses(ctx context.Context) []Bus {
	out := []Bus{}
	byURL := map[string][]*tried{}
	for _, d := range r.all {
		if d.unit.Device == nil {
			continue
		}
		if byURL[d.unit.URL] == nil {
			out = append(out, Bus{URL: d.unit.URL})
		}
		byURL[d.unit.URL] = append(byURL[d.unit.URL], d)
	}
	for i := range out {
		b := &out[i]
		b.Devices = len(byURL[b.URL])
		var took []time.Duration
		for range rounds {
			begun := r.o.Now()
			for _, d := range byURL[b.URL] {
				if _, err := r.read(ctx, d.unit.Device); err != nil && ctx.Err() != nil {
					return out[:i]
				}
			}
			took = append(took, r.o.Now().Sub(begun))
		}
		b.Proof = r.proved(b.URL, budget(slices.Max(took), r.site.Poll, b.Devices))
	}
	return out
}

func budget(round, poll time.Duration, devices int) Proof {
	p := Proof{Name: Budget, Outcome: Passed, Figures: []Figure{
		{"devices", fmt.Sprintf("%d", devices), ""}, {"a round takes", milliseconds(round), "ms"}, {"the gateway polls every", milliseconds(poll), "ms"},
	}}
	p.Text = fmt.Sprintf("a round over %d devices takes %s ms of the %s ms there are", devices, milliseconds(round), milliseconds(poll))
	switch {
	case round > poll:
		p.Outcome = Failed
		p.Text = fmt.Sprintf("this bus needs %s s a cycle, and the gateway polls every %s s", seconds(round), seconds(poll))
		p.Next = fmt.Sprintf("write poll: %s into gateway.yaml, raise the speed of the line, or divide it", atLeast(round))
	case round > poll*7/10:
		p.Outcome = Remarked
		p.Next = "there is little room for setpoints and repetitions: a higher speed, or a longer poll, would give it"
	}
	return p
}

// atLeast is a poll that a round fits into, and that divides a quarter-hour.
func atLeast(round time.Duration) time.Duration {
	for _, d := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second} {
		if d > round*10/7 {
			return d
		}
	}
	return time.Minute
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func summary(r *Report, count map[Outcome]int) string {
	n := len(r.Devices)
	devices := fmt.Sprintf("%d devices", n)
	if n == 1 {
		devices = "1 device"
	}
	var parts []string
	for _, o := range []Outcome{Passed, Remarked, Failed, Skipped} {
		if c := count[o]; c > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c, map[Outcome]string{Passed: "passed", Remarked: "with a remark", Failed: "failed", Skipped: "not tried"}[o]))
		}
	}
	return devices + "; proofs: " + strings.Join(parts, ", ")
}
