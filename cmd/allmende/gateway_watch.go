// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/modbus"
	"github.com/allmende-energy/allmende/gateway/spool"
)

// gatewayWatchCmd shows the devices as they are now, again and again.
type gatewayWatchCmd struct {
	URL     string        `arg:"" optional:"" help:"One bus, with --unit; without, the devices of --dir."`
	Unit    []uint8       `placeholder:"N" sep:"none" help:"A unit of the bus. May be given several times."`
	Dir     string        `type:"path" placeholder:"DIR" help:"A gateway's folder, with gateway.yaml in it; without URL, this one."`
	Every   time.Duration `default:"1s" placeholder:"TIME" help:"Time between two readings, 100ms to 1h."`
	Timeout time.Duration `default:"2s" placeholder:"TIME" help:"How long to wait for one answer."`
	Once    bool          `help:"Read once and stop."`
	JSON    bool          `help:"Print one JSON object a line for each device and reading."`
}

// Help is shown by allmende gateway watch --help.
func (c *gatewayWatchCmd) Help() string {
	return `Reads devices again and again and shows power, state of charge, counters, quality,
age, and the setpoint that is in force at the device. It writes nothing to them.

  allmende gateway watch --dir gateway
  allmende gateway watch tcp://192.168.1.50:502 --unit 1 --unit 2
  allmende gateway watch --dir gateway --json | tee readings.jsonl

It reads the devices itself. While the gateway runs, a device that takes a single
client does not answer here.`
}

// watchedDevice is one row.
type watchedDevice struct {
	asset   roll.AssetID
	url     string
	unit    uint8
	open    func(ctx context.Context) (device.Device, error)
	dev     device.Device
	last    device.Snapshot
	at      time.Time // of last; zero: never
	problem string
	applied *device.Applied
}

// watchView is a device and reading as --json prints them.
type watchView struct {
	At        time.Time        `json:"at"`
	Asset     roll.AssetID     `json:"asset,omitempty"`
	URL       string           `json:"url"`
	Unit      uint8            `json:"unit"`
	Kind      roll.AssetKind   `json:"kind,omitempty"`
	Power     *int64           `json:"power_milliwatts"` // null: there is none
	SoC       *int64           `json:"state_of_charge_permille"`
	Registers map[string]int64 `json:"registers_milliwatt_hours"`
	Quality   energy.Quality   `json:"quality"`
	AgeMS     *int64           `json:"age_ms"`
	State     string           `json:"state,omitempty"`
	InForce   *setpointInForce `json:"in_force"` // null: the device follows itself, or does not tell
	Problem   string           `json:"problem,omitempty"`
	Device    device.Identity  `json:"device"`
}

type setpointInForce struct {
	Quantity device.Quantity `json:"quantity"`
	Value    int64           `json:"value"` // milliwatts, or permille of the rating
}

// Run watches until ctx ends.
func (c *gatewayWatchCmd) Run(ctx context.Context, out *output) error {
	if c.Every < 100*time.Millisecond || c.Every > time.Hour {
		return fmt.Errorf("--every %s: write 100ms to 1h", c.Every)
	}
	devices, lines, err := c.devices(ctx, out)
	defer func() {
		for _, l := range lines {
			l.close()
		}
	}()
	if err != nil {
		return err
	}
	t := table{out: out.Out, still: c.JSON || c.Once || !isTerminal(out.Out)}
	for ctx.Err() == nil {
		next := time.Now().Add(c.Every)
		for _, d := range devices {
			d.read(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		if err := c.show(out, &t, devices); err != nil {
			return err
		}
		if c.Once {
			return c.verdict(devices)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(next)):
		}
	}
	t.end()
	return nil
}

// verdict makes a single look fail where a device did not answer.
func (c *gatewayWatchCmd) verdict(devices []*watchedDevice) error {
	for _, d := range devices {
		if d.problem != "" {
			return errReported
		}
	}
	return nil
}

// devices are those of a folder, or units of one bus.
func (c *gatewayWatchCmd) devices(ctx context.Context, out *output) (devices []*watchedDevice, lines []*line, err error) {
	if c.URL != "" {
		if len(c.Unit) == 0 {
			return nil, nil, errors.New("which unit of the bus? Write --unit N; `allmende gateway scan " + c.URL + "` finds them")
		}
		l, err := openLine(ctx, modbus.Config{URL: c.URL, Timeout: c.Timeout})
		if err != nil {
			return nil, nil, err
		}
		for _, unit := range c.Unit {
			devices = append(devices, &watchedDevice{url: c.URL, unit: unit, open: func(ctx context.Context) (device.Device, error) {
				return profileFlags{}.device(ctx, l, unit)
			}})
		}
		return devices, []*line{l}, nil
	}
	dir := c.Dir
	if dir == "" {
		dir = "."
	}
	cfg, err := gateway.Load(dir)
	if err != nil {
		return nil, nil, err
	}
	if spool.InUse(cfg.Spool.Dir) {
		out.Remark("note: the gateway runs; a device that takes a single client will not answer here\n")
	}
	byURL := map[string]*line{}
	for _, d := range cfg.Devices {
		l := byURL[d.URL]
		if l == nil {
			l, err = openLine(ctx, modbus.Config{URL: d.URL, Timeout: c.Timeout, ConnectDelay: cfg.Modbus.ConnectDelay, RequestGap: cfg.Modbus.RequestGap})
			if err != nil {
				return nil, lines, err
			}
			byURL[d.URL], lines = l, append(lines, l)
		}
		devices = append(devices, &watchedDevice{asset: d.Asset, url: d.URL, unit: d.Unit, open: func(ctx context.Context) (device.Device, error) {
			return profileFlags{Profile: d.Profile, Kind: d.Kind, Profiles: cfg.ProfilesDir}.device(ctx, l, d.Unit)
		}})
	}
	return devices, lines, nil
}

// read takes a reading; what went wrong is shown and tried again.
func (d *watchedDevice) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if d.dev == nil {
		dev, err := d.open(ctx)
		if err != nil {
			d.problem = err.Error()
			return
		}
		d.dev = dev
	}
	s, err := d.dev.Read(ctx)
	if err != nil {
		d.problem = err.Error()
		return
	}
	d.last, d.at, d.problem, d.applied = s, time.Now(), "", nil
	if len(d.dev.Controls()) == 0 {
		return
	}
	if a, err := d.dev.Applied(ctx); err == nil && a.Active {
		d.applied = &a
	}
}

func (c *gatewayWatchCmd) show(out *output, t *table, devices []*watchedDevice) error {
	if c.JSON {
		enc := json.NewEncoder(out.Out)
		for _, d := range devices {
			if err := enc.Encode(d.view()); err != nil {
				return fmt.Errorf("writing JSON: %w", err)
			}
		}
		return nil
	}
	rows := peopleTable{{"ASSET", "UNIT", "KIND", "POWER", "SOC %", "COUNTERS kWh", "QUALITY", "AGE", "IN FORCE"}}
	for _, d := range devices {
		rows = append(rows, d.row())
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n", time.Now().Format(time.DateTime))
	o := *out
	o.Out = &text
	rows.print(&o)
	for _, d := range devices {
		if d.problem != "" {
			fmt.Fprintf(&text, "%s: %s\n", d.name(), strings.ReplaceAll(d.problem, "\n", " "))
		}
	}
	t.draw(text.String())
	return nil
}

func (d *watchedDevice) name() string {
	if d.asset != "" {
		return string(d.asset)
	}
	return d.url
}

// quality is that of the row: a value that is there but could not be read anew is stale.
func (d *watchedDevice) quality() energy.Quality {
	switch {
	case d.at.IsZero():
		return energy.NotImplemented
	case d.problem != "":
		return energy.Stale
	}
	return d.last.Quality
}

func (d *watchedDevice) row() []string {
	r := []string{d.name(), fmt.Sprint(d.unit), "", "", "", "", "no answer", "", ""}
	if d.dev != nil {
		r[2] = string(d.dev.Kind())
	}
	if d.at.IsZero() {
		return r
	}
	r[6], r[7] = d.quality().String(), time.Since(d.at).Round(100*time.Millisecond).String()
	if q := d.last.Quality; q == energy.Good || q == energy.Sleeping {
		r[3] = d.last.Power.String()
	}
	if d.last.SoC >= 0 {
		r[4] = fmt.Sprintf("%d.%d", d.last.SoC/10, d.last.SoC%10)
	}
	var counters []string
	for _, name := range slices.Sorted(maps.Keys(d.last.Registers)) {
		counters = append(counters, fmt.Sprintf("%s %s", name, kilowatts(int64(d.last.Registers[name]))))
	}
	r[5] = strings.Join(counters, ", ")
	switch {
	case d.applied != nil:
		r[8] = fmt.Sprintf("%s %s", d.applied.Quantity, inForce(*d.applied))
	case len(d.dev.Controls()) > 0:
		r[8] = "itself"
	}
	return r
}

func (d *watchedDevice) view() watchView {
	v := watchView{At: time.Now().UTC().Truncate(time.Millisecond), Asset: d.asset, URL: d.url, Unit: d.unit, Registers: map[string]int64{}, Quality: d.quality(), Problem: d.problem}
	if d.dev != nil {
		v.Kind, v.Device = d.dev.Kind(), d.dev.Identity()
	}
	if d.at.IsZero() {
		return v
	}
	age := time.Since(d.at).Milliseconds()
	v.AgeMS, v.State = &age, d.last.State
	if q := d.last.Quality; q == energy.Good || q == energy.Sleeping {
		p := int64(d.last.Power)
		v.Power = &p
	}
	if d.last.SoC >= 0 {
		v.SoC = &d.last.SoC
	}
	for name, e := range d.last.Registers {
		v.Registers[string(name)] = int64(e)
	}
	if d.applied != nil {
		v.InForce = &setpointInForce{d.applied.Quantity, d.applied.Value}
	}
	return v
}

func inForce(a device.Applied) string {
	if a.Quantity == device.ActivePowerPct {
		return fmt.Sprintf("%d.%d %%", a.Value/10, a.Value%10)
	}
	return energy.Power(a.Value).String()
}

// table is drawn over itself on a terminal: each line is written anew and its
// rest cleared, so that nothing flickers. Elsewhere it is printed once more.
type table struct {
	out   io.Writer
	still bool
	lines int // drawn last time
}

func (t *table) draw(text string) {
	if t.still {
		fmt.Fprint(t.out, text)
		return
	}
	const home, clearLine, clearRest, hide = "\x1b[%dA\r", "\x1b[K\n", "\x1b[J", "\x1b[?25l"
	var b strings.Builder
	b.WriteString(hide)
	if t.lines > 0 {
		fmt.Fprintf(&b, home, t.lines)
	}
	b.WriteString(strings.ReplaceAll(text, "\n", clearLine) + clearRest)
	fmt.Fprint(t.out, b.String())
	t.lines = strings.Count(text, "\n")
}

// end gives the terminal its cursor back.
func (t *table) end() {
	if t.lines > 0 {
		fmt.Fprint(t.out, "\x1b[?25h")
	}
}

// isTerminal says whether a person sees what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
