// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/authority"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// forge signs a client certificate with any authority for any name.
func forge(t *testing.T, key crypto.Signer, parent *x509.Certificate, signer crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "allmende", Host: "sunny-lane", Path: "/gateway/gw-a"}},
	}
	if change != nil {
		change(template)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// authorityOf reads the key of a coordinator's authority, as a thief of it would.
func authorityOf(t *testing.T, c *Coordinator) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(c.cfg.Authority+"/ca.crt", c.cfg.Authority+"/ca.key")
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf, pair.PrivateKey.(crypto.Signer)
}

// TestWhoIsNobody: no certificate that the authority did not sign for a gateway
// opens the door, for any call that wants one.
func TestWhoIsNobody(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	good := enrol(t, c, "gw-a")
	ca, caKey := authorityOf(t, c)
	foreignDir := t.TempDir() + "/authority"
	if err := authority.Create(foreignDir, "sunny-lane", time.Now()); err != nil {
		t.Fatal(err)
	}
	foreign, err := tls.LoadX509KeyPair(foreignDir+"/ca.crt", foreignDir+"/ca.key")
	if err != nil {
		t.Fatal(err)
	}
	// A gateway's own key must not sign for others.
	middle := leaf(t, good)
	key := newKey(t)
	name := func(host, path string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "allmende", Host: host, Path: path}} }
	}
	server, err := c.fleet.identities.authority.Config().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	child := forge(t, key, middle, good.Certificates[0].PrivateKey.(crypto.Signer), nil)
	child.Certificate = append(child.Certificate, middle.Raw)
	for name, cert := range map[string]*tls.Certificate{
		"no certificate":        nil,
		"self-signed":           new(forge(t, key, nil, key, nil)),
		"a foreign authority":   new(forge(t, key, foreign.Leaf, foreign.PrivateKey.(crypto.Signer), nil)),
		"signed by a gateway":   &child,
		"another community":     new(forge(t, key, ca, caKey, name("moon-lane", "/gateway/gw-a"))),
		"the coordinator":       new(forge(t, key, ca, caKey, name("sunny-lane", "/coordinator"))),
		"a path in its name":    new(forge(t, key, ca, caKey, name("sunny-lane", "/gateway/gw-a/x"))),
		"no name":               new(forge(t, key, ca, caKey, func(c *x509.Certificate) { c.URIs = nil })),
		"two names":             new(forge(t, key, ca, caKey, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) })),
		"a name of the web":     new(forge(t, key, ca, caKey, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"gw-a"} })),
		"an authority":          new(forge(t, key, ca, caKey, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })),
		"a server's":            new(forge(t, key, ca, caKey, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })),
		"for anything":          new(forge(t, key, ca, caKey, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })),
		"the coordinator's own": server,
		"with a critical unknown": new(forge(t, key, ca, caKey, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		})),
	} {
		cfg := good.Clone()
		cfg.Certificates = nil
		if cert != nil {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		}
		client := dial(t, c.Addresses().Gateways, cfg)
		_, checked := client.Check(t.Context(), &allmendev1.CheckRequest{})
		_, renewed := client.Renew(t.Context(), &allmendev1.RenewRequest{CsrDer: signingRequest(t, newKey(t), x509.CertificateRequest{})})
		for call, err := range map[string]error{"connect": try(t, c, cfg), "check": checked, "renew": renewed} {
			if code := status.Code(err); code != codes.PermissionDenied && code != codes.Unavailable {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
	}
	// The authority's word is not enough where the register has no such gateway.
	cfg := good.Clone()
	cfg.Certificates = []tls.Certificate{forge(t, key, ca, caKey, name("sunny-lane", "/gateway/gw-z"))}
	if err := try(t, c, cfg); refusal(err) != unknown {
		t.Errorf("a gateway that there is not: %v", err)
	}
	if _, err := renew(t, c, cfg, newKey(t), x509.CertificateRequest{}); refusal(err) != unknown {
		t.Errorf("renewing for a gateway that there is not: %v", err)
	}
	if err := try(t, c, good); err != nil {
		t.Errorf("the gateway itself: %v", err)
	}
}

// TestWhatAGatewayMayNotAskFor holds for enrolling and for renewing.
func TestWhatAGatewayMayNotAskFor(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	good := enrol(t, c, "gw-a")
	isCA, err := asn1.Marshal(struct{ CA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		weak, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	of := func(template x509.CertificateRequest) []byte { return signingRequest(t, newKey(t), template) }
	damaged := of(x509.CertificateRequest{})
	damaged[len(damaged)-1] ^= 1
	for name, request := range map[string][]byte{
		"another gateway's name":      of(x509.CertificateRequest{URIs: []*url.URL{{Scheme: "allmende", Host: "sunny-lane", Path: "/gateway/gw-b"}}}),
		"another gateway's subject":   of(x509.CertificateRequest{Subject: pkix.Name{CommonName: "gw-b"}}),
		"another community":           of(x509.CertificateRequest{URIs: []*url.URL{{Scheme: "allmende", Host: "moon-lane", Path: "/gateway/gw-a"}}}),
		"to be the coordinator":       of(x509.CertificateRequest{URIs: []*url.URL{{Scheme: "allmende", Host: "sunny-lane", Path: "/coordinator"}}}),
		"a name of the web":           of(x509.CertificateRequest{DNSNames: []string{"localhost"}}),
		"an address":                  of(x509.CertificateRequest{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}),
		"authority rights":            of(x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: isCA}}}),
		"to sign for others":          of(x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 2, 4}}}}),
		"a short RSA key":             signingRequest(t, weak, x509.CertificateRequest{}),
		"an Ed25519 key":              signingRequest(t, ed, x509.CertificateRequest{}),
		"a P-384 key":                 signingRequest(t, p384, x509.CertificateRequest{}),
		"a key that it does not hold": damaged,
		"nothing":                     nil,
		"too much":                    make([]byte, 32<<10),
	} {
		text, err := c.CreateToken(t.Context(), "gw-a")
		if err != nil {
			t.Fatal(err)
		}
		tok := readToken(t, text)
		if _, err := stranger(t, tok).Enrol(t.Context(), &allmendev1.EnrolRequest{TokenSecret: tok.Secret, CsrDer: request}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("enrolling: %s: %v", name, err)
		}
		if _, err := dial(t, c.Addresses().Gateways, good).Renew(t.Context(), &allmendev1.RenewRequest{CsrDer: request}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("renewing: %s: %v", name, err)
		}
	}
	key := good.Certificates[0].PrivateKey.(*ecdsa.PrivateKey)
	if _, err := renew(t, c, good, key, x509.CertificateRequest{}); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "fresh") {
		t.Errorf("the same key once more: %v", err)
	}
	if n := len(certificates(t, c, "gw-a")); n != 1 {
		t.Errorf("%d certificates were given", n)
	}
}

// TestWhatABackupDoesNotKnow: a certificate that was signed after the backup from
// which the database was restored is taken, and revoked with its gateway.
func TestWhatABackupDoesNotKnow(t *testing.T) {
	dir, w := folder(t, twoHomes), newWorld(t, dawn)
	c := start(t, dir, w)
	good := enrol(t, c, "gw-a")
	ca, caKey := authorityOf(t, c)
	forgotten := good.Clone()
	forgotten.Certificates = []tls.Certificate{forge(t, newKey(t), ca, caKey, nil)}
	connect(t, c, forgotten, "s1")
	list := certificates(t, c, "gw-a")
	if len(list) != 2 || list[1].GetOrigin() != "unknown" || list[1].GetLastSeenUnixMs() == 0 {
		t.Errorf("%v", list)
	}
	another := good.Clone() // and this one was never seen
	another.Certificates = []tls.Certificate{forge(t, newKey(t), ca, caKey, nil)}
	if _, err := operator(t, c).RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for name, cfg := range map[string]*tls.Config{"known": good, "seen": forgotten, "never seen": another} {
			if err := try(t, c, cfg); refusal(err) != revoked {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		c = start(t, dir, w)
	}
}

// TestTokens: once, in time, for its gateway.
func TestTokens(t *testing.T) {
	w, wall := newWorld(t, dawn), &wallClock{}
	c := startAt(t, folder(t, twoHomes), w, wall)
	spend := func(tok token, key *ecdsa.PrivateKey) (*allmendev1.EnrolResponse, error) {
		return stranger(t, tok).Enrol(t.Context(), &allmendev1.EnrolRequest{TokenSecret: tok.Secret, CsrDer: signingRequest(t, key, x509.CertificateRequest{})})
	}
	make := func(id roll.GatewayID) token {
		text, err := c.CreateToken(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return readToken(t, text)
	}
	tok, key := make("gw-a"), newKey(t)
	first, err := spend(tok, key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := spend(tok, key)
	if err != nil || string(again.GetCertificateDer()[0]) != string(first.GetCertificateDer()[0]) {
		t.Errorf("the same key: %v", err)
	}
	if _, err := spend(tok, newKey(t)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another key: %v", err)
	}
	wall.move(10 * time.Minute)
	if _, err := spend(tok, key); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the same key, late: %v", err)
	}
	late := make("gw-a")
	wall.move(10*time.Minute + time.Second)
	if _, err := spend(late, newKey(t)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("late: %v", err)
	}
	// Who writes another name into the text of a token changes nothing but the text.
	other := make("gw-b")
	other.ID = "gw-a"
	res, err := spend(other, newKey(t))
	if err != nil || res.GetGatewayId() != "gw-b" {
		t.Errorf("a token with another name: %v, %v", res, err)
	}
	guess := make("gw-a")
	guess.Secret = strings.Repeat("A", len(guess.Secret))
	if _, err := spend(guess, newKey(t)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a guess: %v", err)
	}
	if _, err := c.CreateToken(t.Context(), "gw-z"); err == nil {
		t.Error("a token for nobody")
	}
}

// TestAStalledStreamIsCut: a revoked gateway that reads nothing can't be told,
// and can't stay.
func TestAStalledStreamIsCut(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	cfg := enrol(t, c, "gw-a")
	var raw net.Conn
	conn, err := grpc.NewClient("passthrough:///"+c.Addresses().Gateways, grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (_ net.Conn, err error) {
			if raw != nil {
				return nil, errors.New("once")
			}
			raw, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			return raw, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := allmendev1.NewGatewayServiceClient(conn).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Hello{Hello: &allmendev1.Hello{SpoolId: "s1"}}})
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	// It asks for the time, over and over, and takes no answer, until the
	// coordinator can't answer any more.
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for stream.Send(&allmendev1.Uplink{Message: &allmendev1.Uplink_ClockProbe{ClockProbe: &allmendev1.ClockProbe{SentUnixMs: 1 << 40}}}) == nil {
		}
	}()
	time.Sleep(time.Second)
	begun := time.Now()
	if _, err := operator(t, c).RevokeGateway(t.Context(), &allmendev1.RevokeGatewayRequest{GatewayId: "gw-a"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked: // sending fails: the connection is gone
	case <-time.After(2 * within):
		t.Error("the connection stays")
	}
	if took := time.Since(begun); took > within {
		t.Errorf("it took %s", took)
	}
	until(t, "the end of the connection", func() bool { return c.fleet.door.Stats().Gateways == 0 })
	if took := time.Since(begun); took > within {
		t.Errorf("the connection stayed for %s", took)
	}
}

// TestStrangersAreBounded: who shows no certificate takes little room, and those
// who do are let in beside them.
func TestStrangersAreBounded(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	good := enrol(t, c, "gw-a")
	bare := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	var open []*tls.Conn
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	closed := func(conn *tls.Conn) bool {
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		buf := make([]byte, 1<<10)
		for {
			if _, err := conn.Read(buf); err != nil {
				var timeout net.Error
				return !errors.As(err, &timeout) || !timeout.Timeout()
			}
		}
	}
	for range 2 * maxFromOne {
		conn, err := tls.Dial("tcp", c.Addresses().Gateways, bare)
		if err != nil {
			continue // refused in the handshake
		}
		open = append(open, conn)
	}
	until(t, "refusals", func() bool { return c.fleet.door.Stats().Refused > 0 })
	if n := c.fleet.door.Stats().Strangers; n > maxFromOne {
		t.Errorf("%d strangers from one address", n)
	}
	connect(t, c, good, "s1")
	// One that goes on talking is cut off.
	talker := open[0]
	if _, err := io.WriteString(talker, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	ping := append([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0}, make([]byte, 8)...)
	for range 2 * strangerBytes / len(ping) {
		if _, err := talker.Write(ping); err != nil {
			break
		}
	}
	if !closed(talker) {
		t.Error("a stranger may send without end")
	}
}

// TestALeaverIsShutOut: who is taken out of the register loses the stream.
func TestALeaverIsShutOut(t *testing.T) {
	w := newWorld(t, dawn)
	c := start(t, folder(t, twoHomes), w)
	a, _ := connect(t, c, enrol(t, c, "gw-a"), "s1")
	b, _ := connect(t, c, enrol(t, c, "gw-b"), "s1")
	smaller := c.register.Current()
	smaller.Gateways = smaller.Gateways[:1]
	smaller.Assets = smaller.Assets[:2]
	c.fleet.follow(always(smaller))
	if err := b.ended(); refusal(err) != unknown {
		t.Errorf("%v", err)
	}
	a.barrier()
}
