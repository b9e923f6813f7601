// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/coordinator/authority"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// certificateStore is the part of the store that identities need.
type certificateStore interface {
	SaveCertificate(ctx context.Context, c store.Certificate, forget time.Time) error
	CertificateSeen(ctx context.Context, c store.Certificate, at time.Time) error
	CertificateOfKey(ctx context.Context, gateway roll.GatewayID, key [32]byte) (store.Certificate, bool, error)
	Certificates(ctx context.Context, gateway roll.GatewayID) ([]store.Certificate, error)
	RevokedCertificates(ctx context.Context) ([]store.Certificate, error)
	Revocations(ctx context.Context) (map[roll.GatewayID]store.Revocation, error)
	RevokeCertificate(ctx context.Context, gateway roll.GatewayID, serial, reason string, at time.Time) (known bool, err error)
	RevokeGateway(ctx context.Context, gateway roll.GatewayID, reason string, at time.Time) error
}

// identities knows which certificates are in force: it issues, renews and
// revokes them. What decides at each connect is in memory, so that a revocation
// holds from the instant it is made, also where it can't be stored. All of its
// times are wall time.
type identities struct {
	authority *authority.Authority
	store     certificateStore
	wall      func() time.Time
	life      time.Duration // of a certificate
	grace     time.Duration // after its end in which it may be renewed
	log       *slog.Logger

	// issuing is held while a certificate is made or revoked, so that none slips
	// past a revocation that is under way.
	issuing sync.Mutex

	mu      sync.Mutex
	before  map[roll.GatewayID]store.Revocation // of all that was signed up to then
	revoked map[certificateKey]store.Revocation // of single certificates; the store forgets them in time
	newest  map[roll.GatewayID]used             // the newest that was used
}

type certificateKey struct {
	gateway roll.GatewayID
	serial  string
}

type used struct {
	serial  string
	issued  time.Time
	written time.Time // that it was used
}

// seenEvery bounds how often it is written down that a certificate was used.
const seenEvery = time.Minute

// renewAfter is the part of a certificate's life after which it is renewed: the
// last third is there for a coordinator that is away.
func renewAfter(notBefore, notAfter time.Time) time.Time {
	return notBefore.Add(notAfter.Sub(notBefore) / 3 * 2)
}

// load reads what the store knows about the gateways of a register.
func (i *identities) load(ctx context.Context, gateways []roll.Gateway) error {
	before, err := i.store.Revocations(ctx)
	if err != nil {
		return err
	}
	single, err := i.store.RevokedCertificates(ctx)
	if err != nil {
		return err
	}
	i.before, i.revoked, i.newest = before, map[certificateKey]store.Revocation{}, map[roll.GatewayID]used{}
	for _, c := range single {
		i.revoked[certificateKey{c.Gateway, c.Serial}] = store.Revocation{Before: c.Revoked, Reason: c.Reason}
	}
	for _, g := range gateways {
		certificates, err := i.store.Certificates(ctx, g.ID)
		if err != nil {
			return err
		}
		for _, c := range certificates {
			if !c.LastSeen.IsZero() {
				i.newest[g.ID] = used{c.Serial, c.Issued, c.LastSeen}
				break
			}
		}
	}
	return nil
}

// identify names the gateway of a certificate that is in force.
func (i *identities) identify(cert *x509.Certificate) (api.Identity, error) {
	c, err := i.authority.Client(cert)
	if err != nil {
		return api.Identity{}, fmt.Errorf("%w: %w", api.ErrDenied, err)
	}
	if err := i.inForce(c); err != nil {
		return api.Identity{}, err
	}
	if !i.wall().Before(c.NotAfter) {
		return api.Identity{}, i.expired(c)
	}
	return api.Identity{
		Gateway: c.Gateway, Serial: c.Serial, Renew: i.renewal(c.NotBefore, c.NotAfter), Ends: c.NotAfter, Certificate: cert,
	}, nil
}

// renewal is when a certificate is due. One that would live longer than those
// made today is due now, so that a shorter life takes effect.
func (i *identities) renewal(notBefore, notAfter time.Time) time.Time {
	const slack = time.Hour // clocks that were set back a little
	if now := i.wall(); notAfter.Sub(now) > i.life+slack {
		return now
	}
	return renewAfter(notBefore, notAfter)
}

// inForce refuses a certificate that was revoked.
func (i *identities) inForce(c authority.Client) error {
	if r, is := i.revocation(c.Gateway, c.Serial, c.NotBefore); is {
		return revokedError(c.Gateway, r)
	}
	return nil
}

func revokedError(id roll.GatewayID, r store.Revocation) error {
	why := ""
	if r.Reason != "" {
		why = fmt.Sprintf(" (%s)", r.Reason)
	}
	return fmt.Errorf("%w: the certificate of gateway %s was revoked on %s%s: if it is to come back, make a new token at the coordinator (allmende gateway token %s) and enrol it anew", api.ErrRevoked, id, r.Before.UTC().Format(time.RFC3339), why, id)
}

// revocation says whether a certificate was revoked, by itself or with all of
// its gateway.
func (i *identities) revocation(id roll.GatewayID, serial string, notBefore time.Time) (store.Revocation, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r, is := i.revoked[certificateKey{id, serial}]; is {
		return r, true
	}
	r, is := i.before[id]
	return r, is && !notBefore.After(r.Before)
}

// expired says what may still be done with a certificate that has ended.
func (i *identities) expired(c authority.Client) error {
	ended := c.NotAfter.UTC().Format(time.RFC3339)
	again := fmt.Sprintf("make a new token at the coordinator (allmende gateway token %s) and enrol it anew", c.Gateway)
	if i.wall().After(c.NotAfter.Add(i.grace)) {
		return fmt.Errorf("%w: it ended on %s, and may be renewed for %s after: %s", api.ErrEnded, ended, days(i.grace), again)
	}
	i.mu.Lock()
	newest, is := i.newest[c.Gateway]
	i.mu.Unlock()
	if is && newest.serial != c.Serial && newest.issued.After(c.NotBefore) {
		return fmt.Errorf("%w: it ended on %s, and gateway %s has used a newer one since: if this computer was restored from an old copy, %s; if it was not, somebody else holds the gateway's key: revoke it (allmende gateway revoke %s)", api.ErrEnded, ended, c.Gateway, again, c.Gateway)
	}
	return fmt.Errorf("%w: it ended on %s: renew it", api.ErrExpired, ended)
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.String()
}

// renew makes a new certificate for the holder of one, if the register knows it.
func (i *identities) renew(ctx context.Context, cert *x509.Certificate, requestDER []byte, knows func(roll.GatewayID) bool) (api.Enrolled, error) {
	c, err := i.authority.Client(cert)
	if err != nil {
		return api.Enrolled{}, fmt.Errorf("%w: %w", api.ErrDenied, err)
	}
	if !knows(c.Gateway) {
		return api.Enrolled{}, fmt.Errorf("%w: gateway %s is not among the community's", api.ErrUnknown, c.Gateway)
	}
	key, err := authority.Parse(requestDER)
	if err != nil {
		return api.Enrolled{}, fmt.Errorf("%w: csr_der: %w", api.ErrInvalid, err)
	}
	if key == c.KeyHash {
		return api.Enrolled{}, fmt.Errorf("%w: csr_der: it brings the key of the certificate that is to be renewed: make a fresh one", api.ErrInvalid)
	}
	i.issuing.Lock()
	defer i.issuing.Unlock()
	if err := i.inForce(c); err != nil {
		return api.Enrolled{}, err
	}
	if !i.wall().Before(c.NotAfter) {
		if err := i.expired(c); !errors.Is(err, api.ErrExpired) {
			return api.Enrolled{}, err
		}
	}
	return i.issue(ctx, c.Gateway, key, requestDER, store.OriginRenewed)
}

// issue makes a certificate, or hands out the one that the key was given
// already: the answer may have been lost. issuing is held.
func (i *identities) issue(ctx context.Context, id roll.GatewayID, key [32]byte, requestDER []byte, origin string) (api.Enrolled, error) {
	have, known, err := i.store.CertificateOfKey(ctx, id, key)
	if err != nil {
		return api.Enrolled{}, err
	}
	if known {
		if r, is := i.revocation(id, have.Serial, have.Issued); is {
			return api.Enrolled{}, fmt.Errorf("%w: csr_der: its key was revoked on %s: make a fresh one", api.ErrInvalid, r.Before.UTC().Format(time.RFC3339))
		}
		if len(have.DER) > 0 && i.wall().Before(renewAfter(have.Issued, have.NotAfter)) {
			return i.enrolled(id, have.DER), nil
		}
	}
	signed, err := i.authority.SignGateway(id, requestDER, i.from(id), i.life)
	if errors.Is(err, authority.ErrRequest) {
		return api.Enrolled{}, fmt.Errorf("%w: csr_der: %w", api.ErrInvalid, err)
	}
	if err != nil {
		return api.Enrolled{}, err
	}
	err = i.store.SaveCertificate(ctx, store.Certificate{
		Gateway: id, Serial: signed.Serial, Origin: origin, KeyHash: key, DER: signed.DER, Issued: signed.NotBefore, NotAfter: signed.NotAfter,
	}, i.wall().Add(-i.grace))
	if errors.Is(err, store.ErrCrowded) {
		return api.Enrolled{}, fmt.Errorf("%w: %w: try again tomorrow, and see in its log why it asks so often", api.ErrStorage, err)
	}
	if err != nil {
		return api.Enrolled{}, err
	}
	i.log.Info("certificate issued", "gateway", id, "serial", signed.Serial, "origin", origin, "ends", signed.NotAfter)
	return i.enrolled(id, signed.DER), nil
}

// from is when a new certificate begins: now, and after whatever was revoked
// before it. Certificates count in whole seconds.
func (i *identities) from(id roll.GatewayID) time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.wall()
	if r, is := i.before[id]; is && !now.Truncate(time.Second).After(r.Before) {
		return r.Before.Truncate(time.Second).Add(time.Second)
	}
	return now
}

func (i *identities) enrolled(id roll.GatewayID, der []byte) api.Enrolled {
	return api.Enrolled{Gateway: id, CertificateDER: der, AuthorityDER: i.authority.DER()}
}

// used notes that a gateway opened a stream with a certificate. elder says that
// it has used a newer one before: it was set back to an old copy, or two
// computers hold its identity.
func (i *identities) used(id api.Identity) (elder bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	newest, is := i.newest[id.Gateway]
	if is && newest.serial != id.Serial && newest.issued.After(id.Certificate.NotBefore) {
		return true
	}
	if newest.serial != id.Serial {
		newest.written = time.Time{}
	}
	i.newest[id.Gateway] = used{id.Serial, id.Certificate.NotBefore, newest.written}
	return false
}

// seen writes down that a gateway opened a stream with a certificate.
func (i *identities) seen(ctx context.Context, id api.Identity) error {
	now := i.wall()
	i.mu.Lock()
	newest := i.newest[id.Gateway]
	known := newest.serial == id.Serial && newest.written.After(now.Add(-seenEvery))
	if newest.serial == id.Serial {
		newest.written = now
		i.newest[id.Gateway] = newest
	}
	i.mu.Unlock()
	if known {
		return nil
	}
	return i.store.CertificateSeen(ctx, store.Certificate{
		Gateway: id.Gateway, Serial: id.Serial, Origin: store.OriginUnknown, KeyHash: authority.KeyHash(id.Certificate),
		DER: id.Certificate.Raw, Issued: id.Certificate.NotBefore, NotAfter: id.Ends,
	}, now)
}

// revoke ends a certificate, or all of a gateway where serial is empty. It holds
// from now on also where it cannot be stored; the error then says so.
func (i *identities) revoke(ctx context.Context, id roll.GatewayID, serial, reason string) (time.Time, error) {
	i.issuing.Lock()
	defer i.issuing.Unlock()
	now := i.wall().UTC()
	if serial != "" {
		known, err := i.store.RevokeCertificate(ctx, id, serial, reason, now)
		if err == nil && !known {
			return now, fmt.Errorf("%w: gateway %s was given no certificate with the serial %s: list them with `allmende gateway certificates %s`", api.ErrNotFound, id, serial, id)
		}
		i.mu.Lock()
		key := certificateKey{id, serial}
		if _, is := i.revoked[key]; !is {
			i.revoked[key] = store.Revocation{Before: now, Reason: reason}
		}
		i.mu.Unlock()
		return now, unstored(err)
	}
	// A clock that was ahead for a while has signed certificates of times to come.
	known, err := i.store.Certificates(ctx, id)
	for _, c := range known {
		if c.Issued.After(now) {
			now = c.Issued.UTC()
		}
	}
	i.mu.Lock()
	if newest := i.newest[id]; newest.issued.After(now) {
		now = newest.issued.UTC()
	}
	i.before[id] = store.Revocation{Before: now, Reason: reason}
	i.mu.Unlock()
	return now, unstored(errors.Join(err, i.store.RevokeGateway(ctx, id, reason, now)))
}

func unstored(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: revoked, but it could not be written down, and holds only until the coordinator stops: mend the cause and revoke again: %w", api.ErrStorage, err)
}

// standing says whether a gateway holds a certificate that is good or may be
// renewed; where it holds none, its latest revocation says why, if there is one.
func (i *identities) standing(ctx context.Context, id roll.GatewayID) (enrolled bool, revoked store.Revocation, err error) {
	certificates, err := i.store.Certificates(ctx, id)
	if err != nil {
		return false, store.Revocation{}, err
	}
	for _, c := range certificates {
		r, is := i.revocation(id, c.Serial, c.Issued)
		switch {
		case !is && i.wall().Before(c.NotAfter.Add(i.grace)):
			return true, store.Revocation{}, nil
		case is && r.Before.After(revoked.Before):
			revoked = r
		}
	}
	return false, revoked, nil
}

// list are the certificates of a gateway, or of all, as they stand now.
func (i *identities) list(ctx context.Context, id roll.GatewayID) ([]api.Certificate, error) {
	stored, err := i.store.Certificates(ctx, id)
	if err != nil {
		return nil, err
	}
	out := make([]api.Certificate, 0, len(stored))
	for _, c := range stored {
		out = append(out, i.describe(c))
	}
	return out, nil
}

func (i *identities) describe(c store.Certificate) api.Certificate {
	out := api.Certificate{
		Gateway: c.Gateway, Serial: c.Serial, Origin: c.Origin, Issued: c.Issued, Ends: c.NotAfter, LastSeen: c.LastSeen, Revoked: c.Revoked, Reason: c.Reason,
	}
	r, revoked := i.revocation(c.Gateway, c.Serial, c.Issued)
	i.mu.Lock()
	newest := i.newest[c.Gateway]
	i.mu.Unlock()
	now, superseded := i.wall(), newest.serial != c.Serial && newest.issued.After(c.Issued)
	switch {
	case revoked:
		out.State, out.Revoked, out.Reason = api.CertificateRevoked, r.Before, r.Reason
	case now.Before(c.NotAfter) && newest.serial == c.Serial:
		out.State = api.CertificateCurrent
	case now.Before(c.NotAfter):
		out.State = api.CertificateGood
	case superseded || now.After(c.NotAfter.Add(i.grace)):
		out.State = api.CertificateEnded
	default:
		out.State = api.CertificateExpired
	}
	return out
}
