// SPDX-License-Identifier: AGPL-3.0-or-later

package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a self-signed certificate of a serial number and its key.
func writePair(t *testing.T, dir string, serial int64, ends time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: ends, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestNewFilesAreTaken without a new listener and without ending a connection;
// bad ones leave the old certificate in use and are reported.
func TestNewFilesAreTaken(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, 1, time.Now().Add(1000*time.Hour))
	f, err := OpenFiles(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan error, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, func(err error) { reports <- err })
	}()
	t.Cleanup(func() { cancel(); <-done })
	if err := <-reports; err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", f.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	dial := func() (*tls.Conn, int64) {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c, c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	serial := func() int64 { _, n := dial(); return n }
	old, n := dial()
	if n != 1 {
		t.Fatalf("certificate %d", n)
	}
	echo := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	reload := func() error { f.Reload(); return <-reports }
	later := func() { // modification times may be coarse
		for _, path := range []string{cert, key} {
			at := time.Now().Add(time.Duration(serial()) * time.Minute)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}

	writePair(t, dir, 2, time.Now().Add(2000*time.Hour))
	later()
	if err := reload(); err != nil || serial() != 2 {
		t.Fatalf("certificate %d, %v", serial(), err)
	}
	echo(old)

	if err := os.WriteFile(cert, []byte("half a certif"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reload(); err == nil || !strings.Contains(err.Error(), "stays in use") || serial() != 2 {
		t.Fatalf("certificate %d, %v", serial(), err)
	}
	writePair(t, dir, 3, time.Now().Add(-time.Hour))
	if err := reload(); err == nil || !strings.Contains(err.Error(), "ended on") || serial() != 2 {
		t.Fatalf("certificate %d, %v", serial(), err)
	}
	writePair(t, dir, 4, time.Now().Add(100*time.Hour))
	later()
	if err := reload(); err == nil || !strings.Contains(err.Error(), "renew it") || serial() != 4 {
		t.Fatalf("certificate %d, %v", serial(), err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := reload(); err == nil || !strings.Contains(err.Error(), "chmod o-rwx") {
		t.Fatal(err)
	}
	echo(old)
}

func TestFilesAreChecked(t *testing.T) {
	dir := t.TempDir()
	cert, key := writePair(t, dir, 1, time.Now().Add(time.Hour))
	other, _ := writePair(t, t.TempDir(), 2, time.Now().Add(time.Hour))
	for want, paths := range map[string][2]string{
		"no such file": {filepath.Join(dir, "none"), key},
		"do":           {other, key},
		"both are PEM": {key, cert},
	} {
		if _, err := OpenFiles(paths[0], paths[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", paths, err)
		}
	}
}
