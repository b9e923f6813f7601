// SPDX-License-Identifier: AGPL-3.0-or-later

package commission

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/allmende-energy/allmende/commons/canon"
)

// Signed is a report with the signature of the gateway that made it. What is
// signed is the report's canonical JSON, so that a file may be indented anew.
type Signed struct {
	Report    json.RawMessage `json:"report"`
	Signature *Signature      `json:"signature,omitempty"` // nil: the gateway was not enrolled
}

// Signature is of a gateway's key, with the certificates that say whose it is.
type Signature struct {
	Algorithm    string   `json:"algorithm"`
	Certificates [][]byte `json:"certificates"` // DER, the gateway's first, its authority's last
	Value        []byte   `json:"value"`        // ASN.1
}

const (
	algorithm = "ecdsa-sha256"
	// purpose keeps a signature of a report from being one of anything else.
	purpose = "allmende commissioning report 1\n"
	// MaxSigned bounds a file: reports of 500 devices stay far below.
	MaxSigned = 16 << 20
	mostCerts = 8
)

// Signer is a gateway's key with its certificates.
type Signer interface {
	// Sign signs the SHA-256 of message.
	Sign(message []byte) ([]byte, error)
	// Chain is the gateway's certificate and its authorities', in DER.
	Chain() [][]byte
}

// Sign makes the file of a report. Without a signer it is not signed, and says so.
func Sign(r *Report, by Signer) ([]byte, error) {
	body, err := canon.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	s := Signed{Report: body}
	if by != nil {
		value, err := by.Sign(append([]byte(purpose), body...))
		if err != nil {
			return nil, fmt.Errorf("signing the report: %w", err)
		}
		s.Signature = &Signature{Algorithm: algorithm, Certificates: by.Chain(), Value: value}
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	return append(out, '\n'), nil
}

// Verified is what a good signature says.
type Verified struct {
	Report    *Report
	Digest    string // SHA-256 of the canonical report, hex
	Signer    string // the gateway that the certificate names, as a URI
	Authority string // SHA-256 of the authority's certificate, hex
	Trusted   bool   // the authority is one of those that were given
}

// Errors of verification.
var (
	ErrNotSigned = errors.New("the report is not signed: the gateway was not enrolled when it was made")
	ErrAltered   = errors.New("the signature does not fit: the report was altered, or is not of this gateway")
	ErrStranger  = errors.New("the gateway's certificate is not of the authority that was given")
)

// Verify checks a report's file: that it is as the gateway signed it, and, where
// trusted authorities are given, that one of them vouches for the gateway. The
// certificates are looked at as of the report's own time, because a gateway's
// lives for weeks and a report for years.
func Verify(file []byte, trusted []*x509.Certificate) (Verified, error) {
	r, body, sig, err := open(file)
	if err != nil {
		return Verified{}, err
	}
	sum := sha256.Sum256(body)
	v := Verified{Report: r, Digest: hex.EncodeToString(sum[:])}
	if sig == nil {
		return v, ErrNotSigned
	}
	if n := len(sig.Certificates); sig.Algorithm != algorithm || n < 2 || n > mostCerts {
		return v, fmt.Errorf("a signature by %.40q with %d certificates is none of this program", sig.Algorithm, n)
	}
	certs := make([]*x509.Certificate, len(sig.Certificates))
	for i, der := range sig.Certificates {
		if certs[i], err = x509.ParseCertificate(der); err != nil {
			return v, fmt.Errorf("a certificate of the signature cannot be read: %w", err)
		}
	}
	key, ok := certs[0].PublicKey.(*ecdsa.PublicKey)
	digest := sha256.Sum256(append([]byte(purpose), body...))
	if !ok || !ecdsa.VerifyASN1(key, digest[:], sig.Value) {
		return v, ErrAltered
	}
	return v.certified(r, certs, trusted)
}

// certified says who signed, by the certificates.
func (v Verified) certified(r *Report, certs, trusted []*x509.Certificate) (Verified, error) {
	want := fmt.Sprintf("allmende://%s/gateway/%s", r.Community, r.Gateway)
	for _, u := range certs[0].URIs {
		if u.String() == want {
			v.Signer = want
		}
	}
	if v.Signer == "" {
		return v, fmt.Errorf("%w: its certificate is not that of gateway %.80s of %.80s", ErrAltered, r.Gateway, r.Community)
	}
	roots := x509.NewCertPool()
	for _, c := range certs[1:] {
		roots.AddCert(c)
	}
	o := x509.VerifyOptions{Roots: roots, CurrentTime: r.Ended, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	chains, err := certs[0].Verify(o)
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrAltered, err)
	}
	root := chains[0][len(chains[0])-1]
	sum := sha256.Sum256(root.Raw)
	v.Authority = hex.EncodeToString(sum[:])
	if len(trusted) == 0 {
		return v, nil
	}
	for _, t := range trusted {
		if bytes.Equal(t.Raw, root.Raw) {
			v.Trusted = true
			return v, nil
		}
	}
	return v, ErrStranger
}

// open reads a report's file strictly.
func open(file []byte) (*Report, []byte, *Signature, error) {
	const none = "this is no commissioning report of allmende (give the .json file)"
	if len(file) > MaxSigned {
		return nil, nil, nil, fmt.Errorf("larger than %d MiB: %s", MaxSigned>>20, none)
	}
	var s Signed
	if err := strict(file, &s); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", none, err)
	}
	var r Report
	if err := strict(s.Report, &r); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", none, err)
	}
	if r.Format != FormatVersion {
		return nil, nil, nil, fmt.Errorf("a report of format %d, and this program reads format %d: use the newest allmende", r.Format, FormatVersion)
	}
	body, err := canon.Marshal(s.Report)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", none, err)
	}
	return &r, body, s.Signature, nil
}

func strict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("something stands behind its end")
	}
	return nil
}
