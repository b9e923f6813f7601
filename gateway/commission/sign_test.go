// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// edge is a gateway's key and certificate by an authority of its own.
type edge struct {
	key   *ecdsa.PrivateKey
	chain [][]byte
	ca    *x509.Certificate
}

func (e edge) Sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, e.key, sum[:])
}

func (e edge) Chain() [][]byte { return e.chain }

var made = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // the time of these reports

func newEdge(t testing.TB, name string) edge {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: made.AddDate(-1, 0, 0), NotAfter: made.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, _ = x509.ParseCertificate(caDER)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse(name)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: made.AddDate(0, 0, -1), NotAfter: made.AddDate(0, 0, 29), URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return edge{key, [][]byte{der, caDER}, ca}
}

func report() *Report {
	r := &Report{
		Format: FormatVersion, Gateway: "gw-1", Community: "lane", Began: made, Ended: made, House: []Proof{}, Buses: []Bus{},
		Devices: []Device{{Asset: "b", Commands: []string{}, Proofs: []Proof{{Name: SignProof, Outcome: Passed, Text: "told to change by +500 W"}}}},
	}
	r.judge(false)
	return r
}

func TestSignatures(t *testing.T) {
	us, them := newEdge(t, "allmende://lane/gateway/gw-1"), newEdge(t, "allmende://lane/gateway/gw-1")
	file, err := Sign(report(), us)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Verify(file, []*x509.Certificate{us.ca})
	if err != nil || !v.Trusted || v.Signer != "allmende://lane/gateway/gw-1" || v.Report.Verdict != Ready || len(v.Digest) != 64 || len(v.Authority) != 64 {
		t.Fatalf("%+v %v", v, err)
	}
	var packed bytes.Buffer
	if err := json.Compact(&packed, file); err != nil {
		t.Fatal(err)
	}
	if v, err := Verify(packed.Bytes(), nil); err != nil || v.Trusted {
		t.Errorf("without white space: %v", err)
	}
	if _, err := Verify(file, []*x509.Certificate{them.ca}); !errors.Is(err, ErrStranger) {
		t.Errorf("by another authority: %v", err)
	}
	for _, change := range [][2]string{{`"passed"`, `"failed"`}, {"+500", "+501"}, {`"verdict": "ready"`, `"verdict": "not ready"`}, {`"gw-1"`, `"gw-2"`}} {
		altered := bytes.ReplaceAll(file, []byte(change[0]), []byte(change[1]))
		if bytes.Equal(altered, file) {
			t.Fatalf("%s is not in it", change[0])
		}
		if _, err := Verify(altered, nil); !errors.Is(err, ErrAltered) {
			t.Errorf("%s for %s: %v", change[1], change[0], err)
		}
	}
	other, err := Sign(report(), newEdge(t, "allmende://lane/gateway/gw-2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(other, nil); !errors.Is(err, ErrAltered) {
		t.Errorf("signed by another gateway: %v", err)
	}
	late := report()
	late.Ended = made.AddDate(0, 2, 0) // the certificate had ended by then
	if file, err = Sign(late, us); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(file, nil); !errors.Is(err, ErrAltered) {
		t.Errorf("signed after the certificate's end: %v", err)
	}
	if file, err = Sign(report(), nil); err != nil {
		t.Fatal(err)
	}
	if v, err := Verify(file, nil); !errors.Is(err, ErrNotSigned) || v.Report == nil {
		t.Errorf("not signed: %v", err)
	}
	for _, junk := range []string{"", "{}", "[]", `{"report":{"allmende_commissioning":2}}`, string(file) + "{}", `{"report":{"more":1}}`} {
		if _, err := Verify([]byte(junk), nil); err == nil {
			t.Errorf("%.40q was taken", junk)
		}
	}
}

// Whatever the file holds: no panic, and no signature that nobody made.
func FuzzVerify(f *testing.F) {
	us := newEdge(f, "allmende://lane/gateway/gw-1")
	file, err := Sign(report(), us)
	if err != nil {
		f.Fatal(err)
	}
	_, whole, _, err := open(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte(`{"report":{},"signature":{"algorithm":"ecdsa-sha256","certificates":["","AA=="],"value":""}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Verify(b, []*x509.Certificate{us.ca})
		if err != nil {
			return
		}
		if _, body, _, _ := open(b); !v.Trusted || !bytes.Equal(body, whole) {
			t.Errorf("another report is taken for ours: %s", b)
		}
	})
}
