// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// Identify implements [api.Fleet].
func (f *fleet) Identify(_ context.Context, cert *x509.Certificate) (api.Identity, error) {
	id, err := f.identities.identify(cert)
	if err != nil {
		return api.Identity{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return id, f.admit(id)
}

// admit refuses whom the register does not know and whose certificate was
// revoked. The fleet's mutex is held.
func (f *fleet) admit(id api.Identity) error {
	if !f.admitted[id.Gateway] {
		return fmt.Errorf("%w: gateway %s is not among the community's: add it to the register, or enrol this computer as another", api.ErrUnknown, id.Gateway)
	}
	if r, is := f.identities.revocation(id.Gateway, id.Serial, id.Certificate.NotBefore); is {
		return revokedError(id.Gateway, r)
	}
	return nil
}

// Enrol implements [api.Fleet].
func (f *fleet) Enrol(ctx context.Context, secret string, requestDER []byte) (api.Enrolled, error) {
	e, err := f.enrolment.enrol(ctx, secret, requestDER)
	if err != nil {
		return api.Enrolled{}, f.internal("enrolling a gateway", err)
	}
	f.mu.Lock()
	if g := f.gateways[e.Gateway]; g != nil {
		g.enrolled, g.revoked = true, store.Revocation{}
	}
	f.mu.Unlock()
	f.log.Info("gateway enrolled", "gateway", e.Gateway)
	return e, nil
}

// Renew implements [api.Fleet].
func (f *fleet) Renew(ctx context.Context, cert *x509.Certificate, requestDER []byte) (api.Enrolled, error) {
	e, err := f.identities.renew(ctx, cert, requestDER, func(id roll.GatewayID) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.admitted[id]
	})
	if err != nil {
		return api.Enrolled{}, f.internal("renewing a certificate", err)
	}
	return e, nil
}

// Acknowledged implements [api.Fleet].
func (f *fleet) Acknowledged(ctx context.Context, gateway roll.GatewayID, spoolID string) (uint64, error) {
	n, err := f.inbox.Acknowledged(ctx, gateway, spoolID)
	if err != nil {
		return 0, f.internal("looking up a spool", err)
	}
	return n, nil
}

// Certificates implements [api.Identities].
func (f *fleet) Certificates(ctx context.Context, gateway roll.GatewayID) ([]api.Certificate, error) {
	out, err := f.identities.list(ctx, gateway)
	if err != nil {
		return nil, f.internal("listing certificates", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range out {
		g := f.gateways[c.Gateway]
		out[i].Connected = g != nil && g.session != nil && g.session.Serial == c.Serial
	}
	return out, nil
}

// Revoke implements [api.Identities]: from now on nobody is let in with what is
// revoked, and a stream that is open with it ends.
func (f *fleet) Revoke(ctx context.Context, gateway roll.GatewayID, serial, reason string) (disconnected bool, at time.Time, err error) {
	f.mu.Lock()
	g := f.gateways[gateway]
	f.mu.Unlock()
	if g == nil {
		// One that left the register may come back; what it holds ends all the same.
		have, err := f.identities.list(ctx, gateway)
		if err != nil {
			return false, time.Time{}, f.internal("revoking a gateway", err)
		}
		if len(have) == 0 {
			return false, time.Time{}, fmt.Errorf("%w: there is no gateway %s, and there was none: list them with `allmende gateway certificates`", api.ErrNotFound, gateway)
		}
	}
	at, revokeErr := f.identities.revoke(ctx, gateway, serial, reason)
	if errors.Is(revokeErr, api.ErrNotFound) {
		return false, at, revokeErr
	}
	enrolled, revoked, err := f.identities.standing(ctx, gateway)
	f.mu.Lock()
	if g != nil {
		if err == nil {
			g.enrolled, g.revoked = enrolled, revoked
		}
		if s := g.session; s != nil {
			if r, is := f.identities.revocation(gateway, s.Serial, s.Certificate.NotBefore); is {
				f.end(g, revokedError(gateway, r))
				disconnected = true
			}
		}
	}
	f.mu.Unlock()
	f.cutLater()
	f.log.Warn("gateway revoked", "gateway", gateway, "serial", serial, "reason", reason, "disconnected", disconnected)
	if err := errors.Join(revokeErr, err); err != nil {
		return disconnected, at, f.internal("revoking a gateway", err)
	}
	return disconnected, at, nil
}

// end shuts a gateway's stream: no setpoint goes down it any more, and its
// handler returns with the cause. The fleet's mutex is held.
func (f *fleet) end(g *gateway, cause error) {
	g.session.End(cause)
	g.session = nil
}

// cutLater cuts, a little later, what connections are left of gateways that are
// not let in any more: a handler whose other side reads nothing can't return.
func (f *fleet) cutLater() {
	time.AfterFunc(leaveWithin, func() {
		f.door.cut(func(cert *x509.Certificate) bool {
			_, err := f.Identify(context.Background(), cert)
			return errors.Is(err, api.ErrRevoked) || errors.Is(err, api.ErrUnknown)
		})
	})
}
