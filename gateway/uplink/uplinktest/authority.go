// SPDX-License-Identifier: AGPL-3.0-or-later

package uplinktest

import (
	"cmp"
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
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
	ahead time.Duration // its clock, of this computer's
}

func newAuthority(tb testing.TB, ahead time.Duration) *authority {
	tb.Helper()
	key := newKey(tb)
	a := &authority{key: key, ahead: ahead}
	template := a.certificate("authority", 24*time.Hour)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	return a
}

func (a *authority) now() time.Time { return time.Now().Add(a.ahead) }

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (a *authority) certificate(path string, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, NotBefore: a.now().Add(-time.Second), NotAfter: a.now().Add(life),
		URIs: []*url.URL{{Scheme: "allmende", Host: Community, Path: "/" + path}},
	}
}

func (a *authority) sign(template *x509.Certificate, pub *ecdsa.PublicKey) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
}

func (a *authority) server(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, template := newKey(tb), a.certificate("coordinator", 24*time.Hour)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := a.sign(template, &key.PublicKey)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

func (a *authority) gateway(id string, pub *ecdsa.PublicKey, life time.Duration) ([]byte, error) {
	template := a.certificate("gateway/"+id, cmp.Or(life, 24*time.Hour))
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(template, pub)
}

// Identity writes an enrolled gateway's file into dir, under its usual name.
func (c *Coordinator) Identity(tb testing.TB, gateway, dir string) {
	tb.Helper()
	key := newKey(tb)
	der, err := c.authority.gateway(gateway, &key.PublicKey, c.Life)
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
	var file []byte
	for _, block := range []*pem.Block{
		{Type: "PRIVATE KEY", Bytes: keyDER}, {Type: "CERTIFICATE", Bytes: der}, {Type: "CERTIFICATE", Bytes: c.authority.cert.Raw},
	} {
		file = append(file, pem.EncodeToMemory(block)...)
	}
	if err := os.WriteFile(filepath.Join(dir, "gateway.pem"), file, 0o600); err != nil {
		tb.Fatal(err)
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
