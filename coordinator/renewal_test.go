// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

const day = 24 * time.Hour

// renew trades an identity for a new one, with a key.
func renew(t *testing.T, c *Coordinator, cfg *tls.Config, key *ecdsa.PrivateKey, template x509.CertificateRequest) (*tls.Config, error) {
	t.Helper()
	res, err := dial(t, c.Addresses().Gateways, cfg).Renew(t.Context(), &allmendev1.RenewRequest{CsrDer: signingRequest(t, key, template)})
	if err != nil {
		return nil, err
	}
	return clientTLS(t, res.GetAuthorityDer()[0], res.GetCertificateDer(), key), nil
}

func mustRenew(t *testing.T, c *Coordinator, cfg *tls.Config) *tls.Config {
	t.Helper()
	fresh, err := renew(t, c, cfg, newKey(t), x509.CertificateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func leaf(t *testing.T, cfg *tls.Config) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestACertificateIsRenewed(t *testing.T) {
	w, wall := newWorld(t, dawn), &wallClock{}
	c := startAt(t, folder(t, twoHomes), w, wall)
	first := enrol(t, c, "gw-a")
	if life := leaf(t, first).NotAfter.Sub(leaf(t, first).NotBefore); life != 30*day {
		t.Errorf("it lives for %s", life)
	}
	a, welcome := connect(t, c, first, "s1")
	if in := time.Duration(welcome.GetRenewCertificateInMs()) * time.Millisecond; in < 19*day || in > 20*day {
		t.Errorf("to be renewed in %s", in)
	}
	a.meter(1, quarterHoursA(dawn, 0, 1)...)
	wall.move(20 * day)
	key := newKey(t)
	second, err := renew(t, c, first, key, x509.CertificateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if left := leaf(t, second).NotAfter.Sub(wall.now()); left < 29*day {
		t.Errorf("the new one ends in %s", left)
	}
	// The answer was lost: the same key gets the same certificate.
	again, err := renew(t, c, first, key, x509.CertificateRequest{})
	if err != nil || leaf(t, again).SerialNumber.Cmp(leaf(t, second).SerialNumber) != 0 {
		t.Errorf("asked again: %v", err)
	}
	a.barrier() // the stream goes on with the old one until the gateway comes back with the new
	b, welcome := connect(t, c, second, "s1")
	if welcome.GetAcknowledgedSequence() != 3 {
		t.Errorf("welcome %v", welcome)
	}
	b.barrier()
	if got := certificates(t, c, "gw-a"); len(got) != 2 || got[0].GetOrigin() != "renewed" || got[0].GetState() != "current" || !got[0].GetConnected() || got[1].GetState() != "good" || got[1].GetConnected() {
		t.Errorf("listed %v", got)
	}
}

// TestAGatewayComesBack: what an ended certificate is still good for.
func TestAGatewayComesBack(t *testing.T) {
	w, wall := newWorld(t, dawn), &wallClock{}
	dir := folder(t, twoHomes)
	c := startAt(t, dir, w, wall)
	idA, idB := enrol(t, c, "gw-a"), enrol(t, c, "gw-b")
	a, _ := connect(t, c, idA, "s1")
	a.meter(1, quarterHoursA(dawn, 0, 1)...)
	connect(t, c, idB, "s1")
	wall.move(30*day + time.Minute)
	if err := a.ended(); refusal(err) != expired {
		t.Errorf("the open stream outlived its certificate: %v", err)
	}
	client := dial(t, c.Addresses().Gateways, idA)
	if err := try(t, c, idA); status.Code(err) != codes.PermissionDenied || refusal(err) != expired {
		t.Errorf("a stream: %v", err)
	}
	if _, err := client.Check(t.Context(), &allmendev1.CheckRequest{}); refusal(err) != expired {
		t.Errorf("a check: %v", err)
	}
	wall.move(90 * day) // the cellar was without power
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	c = startAt(t, dir, w, wall)
	fresh := mustRenew(t, c, idA)
	_, welcome := connect(t, c, fresh, "s1")
	if welcome.GetAcknowledgedSequence() != 3 {
		t.Errorf("welcome %v", welcome)
	}
	// A copy of the old key is worth nothing any more.
	if _, err := renew(t, c, idA, newKey(t), x509.CertificateRequest{}); refusal(err) != ended || !strings.Contains(err.Error(), "allmende gateway revoke gw-a") {
		t.Errorf("the old certificate: %v", err)
	}
	// After the grace only a token helps, and it does.
	wall.move(300 * day)
	idB.Time = wall.now
	if _, err := renew(t, c, idB, newKey(t), x509.CertificateRequest{}); refusal(err) != ended || !strings.Contains(err.Error(), "365 days") {
		t.Errorf("beyond the grace: %v", err)
	}
	if err := try(t, c, idB); refusal(err) != ended {
		t.Errorf("a stream beyond the grace: %v", err)
	}
	idB = enrol(t, c, "gw-b")
	idB.Time = wall.now
	connect(t, c, idB, "s1")
}

// TestAStolenGatewayDoesNotComeBack: revoking reaches what has ended, too.
func TestAStolenGatewayDoesNotComeBack(t *testing.T) {
	w, wall := newWorld(t, dawn), &wallClock{}
	c := startAt(t, folder(t, twoHomes), w, wall)
	id := enrol(t, c, "gw-a")
	connect(t, c, id, "s1")
	wall.move(40 * day)
	if _, err := operator(t, c).RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a", Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	if _, err := renew(t, c, id, newKey(t), x509.CertificateRequest{}); refusal(err) != revoked {
		t.Errorf("%v", err)
	}
	// Enrolled anew in the same second, it works at once.
	connect(t, c, enrol(t, c, "gw-a"), "s1")
}

// TestAClockThatWasAhead: a certificate of a time to come is revoked, too.
func TestAClockThatWasAhead(t *testing.T) {
	w, wall := newWorld(t, dawn), &wallClock{}
	c := startAt(t, folder(t, twoHomes), w, wall)
	wall.move(day)
	used, unused := enrol(t, c, "gw-a"), enrol(t, c, "gw-a")
	connect(t, c, used, "s1")
	wall.move(-day) // somebody has set the clock right
	if _, err := operator(t, c).RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []*tls.Config{used, unused} {
		id.Time = func() time.Time { return wall.now().Add(2 * day) }
		if err := try(t, c, id); refusal(err) != revoked {
			t.Errorf("%v", err)
		}
	}
	again := enrol(t, c, "gw-a")
	connect(t, c, again, "s1")
}

// TestAShorterLifeTakesEffect: certificates that would live longer than those
// that are made now are renewed at the next connect.
func TestAShorterLifeTakesEffect(t *testing.T) {
	w, wall, dir := newWorld(t, dawn), &wallClock{}, folder(t, twoHomes)
	c := startAt(t, dir, w, wall)
	id := enrol(t, c, "gw-a")
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Simulated, cfg.wall, cfg.Certificates.Life = true, wall.now, day
	if c, err = Start(t.Context(), cfg, w.clock, testLog(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	if _, welcome := connect(t, c, id, "s1"); welcome.GetRenewCertificateInMs() != 1 {
		t.Errorf("to be renewed in %d ms", welcome.GetRenewCertificateInMs())
	}
	if life := leaf(t, mustRenew(t, c, id)); life.NotAfter.Sub(life.NotBefore) != day {
		t.Errorf("%s to %s", life.NotBefore, life.NotAfter)
	}
}
