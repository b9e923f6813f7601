// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/spool"
	"github.com/allmende-energy/allmende/gateway/uplink"
)

// reachWithin bounds what a report waits for the coordinator.
const reachWithin = 10 * time.Second

// Report is how a gateway stands, seen from its own computer.
type Report struct {
	Gateway     roll.GatewayID
	Community   roll.CommunityID
	Serial      string    // of its certificate
	Issued      time.Time // on the coordinator's clock, like the two that follow
	Ends        time.Time
	Renew       time.Time // when it is renewed; known where the coordinator answers
	Coordinator string    // its address
	Reached     bool      // it answered, and takes this gateway
	ClockOffset time.Duration
	Running     bool // a gateway runs on this folder
	Pending     uint64
	PendingSure bool // the coordinator has said so; otherwise it may be less
	SpoolBytes  int64
	Newest      energy.Instant // the latest sample in the spool; 0 where there is none
	Problems    []string       // each says what to do
}

// Inspect looks at the gateway in a folder, also while it runs, and asks its
// coordinator. It changes nothing. The error is what keeps it from looking.
func Inspect(ctx context.Context, dir string) (Report, error) {
	cfg, err := Load(dir)
	if err != nil {
		return Report{}, err
	}
	r := Report{Coordinator: cfg.Coordinator}
	seen, err := spool.Look(cfg.Spool.Dir)
	if err != nil {
		r.problem("%v", err)
	}
	r.Running, r.SpoolBytes, r.Newest, r.Pending = seen.InUse, seen.Bytes, seen.Newest, seen.Last-seen.Acked
	if !r.Running {
		r.problem("no gateway runs on this folder: start it with: allmende gateway run --dir %s", dir)
	}
	id, err := uplink.LoadIdentity(cfg.Identity)
	if err != nil {
		r.problem("%v", err)
		return r, nil
	}
	r.Gateway, r.Community, r.Serial, r.Issued, r.Ends = id.Gateway, id.Community, id.Serial, id.NotBefore, id.NotAfter
	r.ask(ctx, id, seen)
	return r, nil
}

// ask adds what the coordinator says.
func (r *Report) ask(ctx context.Context, id uplink.Identity, seen spool.View) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	begun := time.Now()
	standing, err := uplink.Check(ctx, r.Coordinator, id, seen.ID)
	if err != nil {
		r.problem("the coordinator at %s: %v", r.Coordinator, err)
		return
	}
	r.Reached, r.Renew, r.Ends = true, standing.Renew, standing.Ends
	half := time.Since(begun) / 2
	r.ClockOffset = begun.Add(half).Sub(standing.Now).Round(time.Millisecond)
	if r.ClockOffset.Abs() > half+maxClockOffset {
		r.problem("this computer's clock is off by %s: set it (timedatectl set-ntp true)", r.ClockOffset)
	}
	if standing.Acknowledged <= seen.Last {
		r.Pending, r.PendingSure = seen.Last-standing.Acknowledged, true
	}
}

// maxClockOffset is what the coordinator complains about, too.
const maxClockOffset = 2 * time.Second

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}
