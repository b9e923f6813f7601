// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Files of an identity in their usual folder.
const (
	KeyFile         = "gateway.key"
	CertificateFile = "gateway.crt"
	AuthorityFile   = "ca.crt"
)

// Paths say where a gateway's identity lies.
type Paths struct {
	Key         string // PEM, readable by the gateway alone
	Certificate string // PEM, the gateway's own first
	Authority   string // PEM of the community's authority
}

// PathsIn are the usual files in a folder.
func PathsIn(dir string) Paths {
	return Paths{filepath.Join(dir, KeyFile), filepath.Join(dir, CertificateFile), filepath.Join(dir, AuthorityFile)}
}

// Identity is who a gateway is, as its community's authority signed it.
type Identity struct {
	Gateway   roll.GatewayID
	Community roll.CommunityID
	NotAfter  time.Time

	certificate tls.Certificate
	authority   *x509.CertPool
}

// ErrNotEnrolled says that there is no usable identity.
var ErrNotEnrolled = errors.New("this gateway is not enrolled")

const howToEnrol = "ask for a token at the coordinator (allmende gateway token GATEWAY), then run: allmende gateway enrol TOKEN"

// LoadIdentity reads and checks an identity. now is wall time.
func LoadIdentity(p Paths, now time.Time) (Identity, error) {
	certificate, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if errors.Is(err, os.ErrNotExist) {
		return Identity{}, fmt.Errorf("%w (%w); %s", ErrNotEnrolled, err, howToEnrol)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("gateway identity %s, %s: %w", p.Certificate, p.Key, err)
	}
	b, err := os.ReadFile(p.Authority)
	if err != nil {
		return Identity{}, fmt.Errorf("the community's authority: %w; %s", err, howToEnrol)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return Identity{}, fmt.Errorf("the community's authority %s holds no certificate in PEM; %s", p.Authority, howToEnrol)
	}
	leaf := certificate.Leaf
	id := Identity{NotAfter: leaf.NotAfter, certificate: certificate, authority: pool}
	if id.Community, id.Gateway, err = gatewayName(leaf); err != nil {
		return Identity{}, fmt.Errorf("%s: %w; %s", p.Certificate, err, howToEnrol)
	}
	if now.After(leaf.NotAfter) {
		return Identity{}, fmt.Errorf("%w: its certificate ended on %s; %s", ErrNotEnrolled, leaf.NotAfter.UTC().Format(time.DateOnly), howToEnrol)
	}
	return id, nil
}

// gatewayName reads allmende://<community>/gateway/<id> from a certificate.
func gatewayName(cert *x509.Certificate) (roll.CommunityID, roll.GatewayID, error) {
	for _, u := range cert.URIs {
		if name, ok := strings.CutPrefix(u.Path, "/gateway/"); ok && u.Scheme == scheme && u.Host != "" && name != "" {
			return roll.CommunityID(u.Host), roll.GatewayID(name), nil
		}
	}
	return "", "", errors.New("the certificate names no gateway")
}

const scheme = "allmende"

// TLS is the configuration for dialling the coordinator. The coordinator is
// known by the authority's signature and its name allmende://<community>/coordinator,
// not by the address it is reached at, which may change.
func (id Identity) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.certificate},
		// The usual check compares host names; VerifyConnection does all of the
		// rest and compares the name that matters.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(state tls.ConnectionState) error {
			community, err := verifyCoordinator(state, id.authority)
			if err == nil && community != id.Community {
				err = fmt.Errorf("the server coordinates %q, this gateway belongs to %q", community, id.Community)
			}
			return err
		},
	}
}

// verifyCoordinator checks a server's chain up to one of roots and returns the
// community that it coordinates.
func verifyCoordinator(state tls.ConnectionState, roots *x509.CertPool) (roll.CommunityID, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the server shows no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return "", fmt.Errorf("the server's certificate is not of this community's authority: %w", err)
	}
	for _, u := range leaf.URIs {
		if isCoordinator(u) {
			return roll.CommunityID(u.Host), nil
		}
	}
	return "", errors.New("the server's certificate is not a coordinator's")
}

func isCoordinator(u *url.URL) bool {
	return u.Scheme == scheme && u.Path == "/coordinator" && u.Host != ""
}

// pinned verifies a server that is known by its authority's fingerprint alone.
// It stores what it learned where community and authority point.
func pinned(fingerprint string, community *roll.CommunityID, authority *[]byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, c := range state.PeerCertificates {
				sum := sha256.Sum256(c.Raw)
				if hex.EncodeToString(sum[:]) != fingerprint {
					continue
				}
				pool := x509.NewCertPool()
				pool.AddCert(c)
				name, err := verifyCoordinator(state, pool)
				if err != nil {
					return err
				}
				*community, *authority = name, c.Raw
				return nil
			}
			return errors.New("the server does not show the authority that the token names: is it another community's coordinator, or was its authority made anew? Ask for a new token")
		},
	}
}

func encodePEM(blocks [][]byte) []byte {
	var out []byte
	for _, der := range blocks {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
