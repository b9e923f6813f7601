// SPDX-License-Identifier: AGPL-3.0-or-later

package uplinktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Community is the community of every test coordinator.
const Community = "test-commons"

type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	key := newKey(tb)
	template := certificate("authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &authority{key, cert}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func certificate(path string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		URIs: []*url.URL{{Scheme: "allmende", Host: Community, Path: "/" + path}},
	}
}

func (a *authority) sign(template *x509.Certificate, pub *ecdsa.PublicKey) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
}

func (a *authority) server(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, template := newKey(tb), certificate("coordinator")
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := a.sign(template, &key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

func (a *authority) gateway(id string, pub *ecdsa.PublicKey) ([]byte, error) {
	template := certificate("gateway/" + id)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(template, pub)
}

// Identity writes an enrolled gateway's files into dir, under their usual names.
func (c *Coordinator) Identity(tb testing.TB, gateway, dir string) {
	tb.Helper()
	key := newKey(tb)
	der, err := c.authority.gateway(gateway, &key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"gateway.key": {Type: "PRIVATE KEY", Bytes: keyDER},
		"gateway.crt": {Type: "CERTIFICATE", Bytes: der},
		"ca.crt":      {Type: "CERTIFICATE", Bytes: c.authority.cert.Raw},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// Token is an enrolment token whose secret is good once.
func (c *Coordinator) Token(tb testing.TB, gateway, secret string) string {
	tb.Helper()
	sum := sha256.Sum256(c.authority.cert.Raw)
	b, err := json.Marshal(map[string]string{"addr": c.Address, "id": gateway, "secret": secret, "ca": hex.EncodeToString(sum[:])})
	if err != nil {
		tb.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[secret] = gateway
	return "alm1." + base64.RawURLEncoding.EncodeToString(b)
}
