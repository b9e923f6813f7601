// SPDX-License-Identifier: AGPL-3.0-or-later

package modbus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/simonvetter/modbus"
)

func TestEveryFunctionOverUDP(t *testing.T) {
	s := &slave{}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		b := make([]byte, 300)
		for {
			n, from, err := conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			answer := s.answer(b[6], b[7:n])
			head := append([]byte(nil), b[:7]...)
			head[4], head[5] = byte((len(answer)+1)>>8), byte(len(answer)+1)
			if _, err := conn.WriteToUDP(append(head, answer...), from); err != nil {
				return
			}
		}
	})
	url := "udp://" + conn.LocalAddr().String()
	b := run(t, Config{URL: url, Timeout: 5 * time.Second})
	everyFunction(t, b, 4)
	conn.Close()
	group.Wait()
	if _, err := b.ReadHolding(t.Context(), 4, 0, 1); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrTimeout) {
		t.Errorf("nobody listens: %v", err)
	}
}

// certificate makes one that is signed by parent (nil: by itself), as PEM files
// NAME.pem and NAME.key in dir.
func certificate(t *testing.T, dir, name string, parent *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: parent == nil, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, signerKey := template, any(key)
	if parent != nil {
		signer, signerKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(os.WriteFile(filepath.Join(dir, name+".pem"), certPEM, 0o600), os.WriteFile(filepath.Join(dir, name+".key"), keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := certificate(t, dir, "ca", nil)
	device := certificate(t, dir, "device", ca)
	certificate(t, dir, "gateway", ca)
	certificate(t, dir, "stranger", nil)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	port, err := freePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	served := &Server{handler: &memory{}}
	server, err := wire.NewServer(&wire.ServerConfiguration{
		URL: "tcp+tls://" + port, TLSServerCert: device, TLSClientCAs: pool, Logger: log.New(io.Discard, "", 0),
	}, served)
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop() //nolint:errcheck // the test ends
	file := func(name string) string { return filepath.Join(dir, name) }
	url := "tcp+tls://" + port

	b := run(t, Config{
		URL: url + "?ca=" + file("ca.pem"), TLS: TLS{CertFile: file("gateway.pem"), KeyFile: file("gateway.key")}, Timeout: 5 * time.Second,
	})
	if got, err := b.ReadHolding(t.Context(), 1, 9, 1); err != nil || got[0] != valueAt(1, 9) {
		t.Errorf("over TLS: %v, %v", got, err)
	}
	for name, c := range map[string]struct {
		tls  TLS
		says string
	}{
		"a device of somebody else's":  {TLS{file("stranger.pem"), file("gateway.pem"), file("gateway.key")}, "ca"},
		"a missing authority":          {TLS{file("none.pem"), file("gateway.pem"), file("gateway.key")}, "setting ca"},
		"an authority that is a key":   {TLS{file("ca.key"), file("gateway.pem"), file("gateway.key")}, "no certificate in PEM"},
		"a key of another certificate": {TLS{file("ca.pem"), file("gateway.pem"), file("device.key")}, "cert and key"},
		"a certificate of nobody's":    {TLS{file("ca.pem"), file("stranger.pem"), file("stranger.key")}, ""},
	} {
		b := run(t, Config{URL: url, TLS: c.tls, Timeout: 5 * time.Second})
		if _, err := b.ReadHolding(t.Context(), 1, 9, 1); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A device that takes one client: it closes what comes second. We say so, and
// give our own connection back when nobody asks.
func TestDeviceOfOneClient(t *testing.T) {
	s := &slave{}
	var clients atomic.Int32
	inner := s.overTCP(t)
	addr := listen(t, func(conn net.Conn) {
		if clients.Add(1) > 1 {
			clients.Add(-1)
			return // hangs up
		}
		defer clients.Add(-1)
		device, err := net.Dial("tcp", inner)
		if err != nil {
			return
		}
		defer device.Close()
		var group sync.WaitGroup
		group.Go(func() { _, _ = io.Copy(conn, device) })
		_, _ = io.Copy(device, conn)
		device.Close()
		group.Wait()
	})
	polite := run(t, Config{URL: "tcp://" + addr, Timeout: 5 * time.Second, IdleClose: 50 * time.Millisecond})
	if _, err := polite.ReadHolding(t.Context(), 1, 0, 1); err != nil {
		t.Fatal(err)
	}
	other := run(t, Config{URL: "tcp://" + addr, Timeout: 5 * time.Second})
	_, err := other.ReadHolding(t.Context(), 1, 5, 1)
	if err != nil && !strings.Contains(err.Error(), "one client only") {
		t.Errorf("a second client is told: %v", err)
	}
	for { // until the first has given it back; bounded by the test's own time limit
		got, err := other.ReadHolding(t.Context(), 1, 5, 1)
		if err == nil {
			if got[0] != tableValue(1, 3, 5) {
				t.Errorf("register 5 is %d", got[0])
			}
			break
		}
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "one client only") {
			t.Fatalf("a second client is told: %v", err)
		}
	}
	// The first gets it no more, until the second ends.
	if _, err := polite.ReadHolding(t.Context(), 1, 5, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("both are connected: %v", err)
	}
}

func TestUnitsHaveTheirOwnLimits(t *testing.T) {
	s := &slave{}
	b := run(t, Config{URL: "tcp://" + s.overTCP(t), Timeout: 5 * time.Second, Units: map[uint8]UnitConfig{3: {MaxRegisters: 64}}})
	if b.MaxRead(3) != 64 || b.MaxRead(4) != MaxRead {
		t.Errorf("block limits %d and %d", b.MaxRead(3), b.MaxRead(4))
	}
	if _, err := b.ReadHolding(t.Context(), 3, 0, 65); !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), "64") {
		t.Errorf("65 registers of unit 3: %v", err)
	}
	for unit, n := range map[uint8]uint16{3: 64, 4: 125} {
		if _, err := b.ReadHolding(t.Context(), unit, 0, n); err != nil {
			t.Errorf("unit %d: %v", unit, err)
		}
	}
}

func TestGapsBetweenRequests(t *testing.T) {
	l := newLink(Config{
		RequestGap: 50 * time.Second, UnitGap: 80 * time.Second, Units: map[uint8]UnitConfig{3: {RequestGap: 70 * time.Second}},
	}, target{})
	l.last, l.lastUnit = time.Now(), 3
	for unit, want := range map[uint8]time.Duration{3: 70 * time.Second, 4: 80 * time.Second} {
		if d := l.gap(unit); d > want || d < want-5*time.Second {
			t.Errorf("before unit %d: %s, want %s", unit, d, want)
		}
	}
	l.lastUnit = 4
	if d := l.gap(4); d > 50*time.Second || d < 45*time.Second {
		t.Errorf("before the same unit: %s", d)
	}
}
