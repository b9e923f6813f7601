// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"cmp"
	"fmt"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
	"github.com/allmende-energy/allmende/internal/settings"
)

// deviceFile is a device in gateway.yaml. Units stand last in a name. Pointers
// tell what was left out from what was written as 0.
type deviceFile struct {
	Asset    string      `yaml:"asset"`
	URL      string      `yaml:"url"`
	Unit     *uint8      `yaml:"unit"`
	Profile  string      `yaml:"profile"`
	Kind     string      `yaml:"kind"`
	ReadOnly bool        `yaml:"read_only"`
	Waiver   string      `yaml:"waiver"`
	Fallback string      `yaml:"fallback"`
	Limits   *limitsFile `yaml:"limits"`

	ConnectDelay string `yaml:"connect_delay"`
	RequestGap   string `yaml:"request_gap"`
	MaxRegisters uint16 `yaml:"max_registers"`
}

type limitsFile struct {
	MaxCharge     *energy.Power  `yaml:"max_charge_w"`
	MaxDischarge  *energy.Power  `yaml:"max_discharge_w"`
	MinSoC        *percent       `yaml:"min_soc_percent"`
	MaxSoC        *percent       `yaml:"max_soc_percent"`
	Hysteresis    *percent       `yaml:"soc_hysteresis_percent"`
	Capacity      *energy.Energy `yaml:"capacity_kwh"`
	MaxFeedIn     *energy.Power  `yaml:"max_feed_in_w"`
	MaxFeedInPct  *percent       `yaml:"max_feed_in_percent"`
	MaxLoad       *energy.Power  `yaml:"max_load_w"`
	OfflineFeedIn *energy.Power  `yaml:"offline_feed_in_w"`
	OfflineLoad   *energy.Power  `yaml:"offline_load_w"`
	Rated         *energy.Power  `yaml:"rated_w"`
	MinLoad       *energy.Power  `yaml:"min_load_w"`
	MinRun        string         `yaml:"min_run"`
	MinPause      string         `yaml:"min_pause"`
	Ramp          *energy.Power  `yaml:"ramp_w_per_s"`
}

// contactFile is a grid operator's contact in gateway.yaml.
type contactFile struct {
	Contact      string        `yaml:"contact"`
	Limited      string        `yaml:"limited"`
	Free         string        `yaml:"free"`
	Devices      []string      `yaml:"devices"`
	Draw         *energy.Power `yaml:"draw_w"`
	FeedIn       *percent      `yaml:"feed_in_percent"`
	FailsafeDraw *energy.Power `yaml:"failsafe_draw_w"`
	Heartbeat    string        `yaml:"heartbeat"`
	Hold         string        `yaml:"hold"`
}

func (f *deviceFile) device(i int, report settings.Report) Device {
	field := fmt.Sprintf("devices[%d]", i)
	d := Device{
		Asset: roll.AssetID(f.Asset), URL: f.URL, Unit: or(f.Unit, 0), Profile: f.Profile, Kind: f.Kind,
		ReadOnly: f.ReadOnly, Waiver: f.Waiver, Fallback: fallbackOf(f.Fallback),
	}
	d.Timing = Timing{
		ConnectDelay: parseCycle(field+".connect_delay", f.ConnectDelay, 0, report).Duration(),
		RequestGap:   parseCycle(field+".request_gap", f.RequestGap, 0, report).Duration(), MaxRegisters: f.MaxRegisters,
	}
	if f.Limits != nil {
		d.Limits = f.Limits.limits(field+".limits", report)
	}
	return d
}

// fallbackOf knows the words that people use for the two.
func fallbackOf(word string) guard.Fallback {
	switch word {
	case "self_consumption":
		return guard.ReleaseIt
	case "hold":
		return guard.Rest
	}
	return guard.Fallback(word)
}

func (l *limitsFile) limits(field string, report settings.Report) *guard.Limits {
	usual := guard.DeviceLimits()
	out := &guard.Limits{
		MaxCharge:     or(l.MaxCharge, usual.MaxCharge),
		MaxDischarge:  or(l.MaxDischarge, usual.MaxDischarge),
		MinSoC:        int64(or(l.MinSoC, percent(usual.MinSoC))),
		MaxSoC:        int64(or(l.MaxSoC, percent(usual.MaxSoC))),
		Capacity:      or(l.Capacity, 0),
		MaxFeedIn:     or(l.MaxFeedIn, usual.MaxFeedIn),
		MaxLoad:       or(l.MaxLoad, usual.MaxLoad),
		OfflineFeedIn: or(l.OfflineFeedIn, usual.OfflineFeedIn),
		OfflineLoad:   or(l.OfflineLoad, usual.OfflineLoad),
		Rated:         or(l.Rated, 0),
		LeastLoad:     or(l.MinLoad, 0),
		Ramp:          or(l.Ramp, 0),
	}
	out.Hysteresis = int64(or(l.Hysteresis, percent(min(usual.Hysteresis, max(out.MaxSoC-out.MinSoC, 0)/2))))
	if l.MaxFeedInPct != nil {
		if out.Rated <= 0 {
			report(field+".max_feed_in_percent", "a share of what? write rated_w as well")
		} else {
			out.MaxFeedIn = min(out.MaxFeedIn, energy.Power(energy.MulDiv(int64(out.Rated), int64(*l.MaxFeedInPct), 1000)))
		}
	}
	out.MinRun = parseCycle(field+".min_run", l.MinRun, 0, report)
	out.MinPause = parseCycle(field+".min_pause", l.MinPause, 0, report)
	return out
}

// parseCycle reads a length of world time, or takes the default.
func parseCycle(field, text string, usual energy.Span, report settings.Report) energy.Span {
	if text == "" {
		return usual
	}
	d, err := parseWait(text)
	if err != nil {
		report(field, "%v", err)
		return usual
	}
	return energy.SpanOf(d)
}

// What the profiles of contacts call the two states.
const (
	usualLimited = "limit"
	usualFree    = "free"
)

func (f *contactFile) contact(i int, report settings.Report) GridContact {
	field := fmt.Sprintf("grid_operator[%d]", i)
	g := GridContact{
		Contact: roll.AssetID(f.Contact), Limited: cmp.Or(f.Limited, usualLimited), Free: cmp.Or(f.Free, usualFree),
		Limit: guard.FreeGrid(), Failsafe: guard.FreeGrid(),
		Heartbeat: parseCycle(field+".heartbeat", f.Heartbeat, guard.UsualHeartbeat, report),
		Hold:      parseCycle(field+".hold", f.Hold, guard.UsualHold, report),
	}
	for _, d := range f.Devices {
		g.Devices = append(g.Devices, roll.AssetID(d))
	}
	if f.Draw != nil {
		g.Limit.Draw = *f.Draw
		g.Failsafe.Draw = guard.UsualDraw
	}
	if f.FailsafeDraw != nil {
		g.Failsafe.Draw = *f.FailsafeDraw
	}
	if f.FeedIn != nil {
		g.Limit.FeedPermille = int64(*f.FeedIn)
		g.Failsafe.FeedPermille = g.Limit.FeedPermille
	}
	return g
}
