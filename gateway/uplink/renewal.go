// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// errFreshIdentity: the gateway has a new certificate, and the stream begins
// again with it.
var errFreshIdentity = errors.New("the certificate was renewed")

// Bounds of renewing, on the wall clock.
const (
	renewWithin   = 30 * time.Second
	renewPause    = time.Minute // after a failure, doubling up to
	renewMaxPause = time.Hour
	lookPause     = 2 * time.Second // between two looks at the identity's file
)

// reasonOf is why the coordinator refused this gateway, if it did.
func reasonOf(err error) allmendev1.RefusalReason {
	var is interface{ GRPCStatus() *status.Status }
	if errors.As(err, &is) {
		for _, d := range is.GRPCStatus().Details() {
			if refusal, ok := d.(*allmendev1.Refusal); ok {
				return refusal.GetReason()
			}
		}
	}
	return allmendev1.RefusalReason_REFUSAL_REASON_UNSPECIFIED
}

// isShutOut: asking again soon is of no use, because people must act first.
func isShutOut(err error) bool {
	switch reasonOf(err) {
	case allmendev1.RefusalReason_REFUSAL_REASON_REVOKED, allmendev1.RefusalReason_REFUSAL_REASON_ENDED, allmendev1.RefusalReason_REFUSAL_REASON_UNKNOWN:
		return true
	default:
		return false
	}
}

// say tells a failure to people: what only they can mend as an error.
func (l *Link) say(err error, text string) {
	if isShutOut(err) {
		l.cfg.Log.Error("the coordinator does not let this gateway in; it goes on measuring, and keeps what it measures", "address", l.cfg.Address, "reason", text)
		return
	}
	l.cfg.Log.Warn("no stream to the coordinator; trying again", "address", l.cfg.Address, "error", text)
}

// sitOut waits for a time, or until another identity was put in place.
func (l *Link) sitOut(ctx context.Context, pause time.Duration) (changed bool) {
	for left := pause; left > 0 && sleep(ctx, min(left, lookPause)); left -= lookPause {
		if l.cfg.Identity.Look() {
			l.cfg.Log.Info("this gateway was enrolled anew", "serial", l.cfg.Identity.Identity().Serial)
			return true
		}
	}
	return false
}

// renewAlone renews over a connection of its own, where no stream is let in.
func (l *Link) renewAlone(ctx context.Context) error {
	conn, err := dial(l.cfg.Address, l.cfg.Identity.Identity().TLS())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the answer is what matters
	return l.renew(ctx, conn)
}

func (l *Link) renew(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	if err := l.cfg.Identity.renew(ctx, conn); err != nil {
		return err
	}
	id := l.cfg.Identity.Identity()
	l.cfg.Log.Info("certificate renewed", "serial", id.Serial, "ends", id.NotAfter)
	return nil
}

// keepFresh renews the certificate when the coordinator said it is due, and
// ends the stream, so that the next one begins with the new certificate.
func (s *session) keepFresh(ctx context.Context, cancel context.CancelCauseFunc, conn grpc.ClientConnInterface, due time.Duration) {
	if due <= 0 {
		return // a coordinator that does not say
	}
	l := s.link
	id := l.cfg.Identity.Identity()
	// A thousand gateways that were enrolled on one day need not come at once.
	const part = 20
	due += time.Duration(rand.Int64N(max(1, int64(id.NotAfter.Sub(id.NotBefore)/part))))
	pause := min(renewPause, due)
	for sleep(ctx, due) {
		err := l.renew(ctx, conn)
		if err == nil {
			cancel(errFreshIdentity)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if status.Code(err) == codes.Unimplemented {
			l.cfg.Log.Warn("the coordinator is too old to renew this gateway's certificate: update it", "ends", id.NotAfter)
			return
		}
		l.cfg.Log.Warn("the certificate could not be renewed; trying again", "ends", id.NotAfter, "error", advise(err).Error())
		due = jitter(pause)
		pause = min(2*pause, renewMaxPause)
	}
}
