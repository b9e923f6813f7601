// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// TLS is the configuration for dialling the coordinator. The coordinator is
// known by the authority's signature and its name allmende://<community>/coordinator,
// not by the address it is reached at, which may change.
func (id Identity) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.certificate},
		// The usual check compares host names, and believes this computer's clock;
		// VerifyConnection does all of the rest and compares the name that matters.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(state tls.ConnectionState) error {
			return id.verify(state, id.authorities)
		},
	}
}

// verify checks that a server is the coordinator of this gateway's community.
func (id Identity) verify(state tls.ConnectionState, authorities []*x509.Certificate) error {
	community, err := verifyCoordinator(state, authorities, latest(time.Now(), id.NotBefore))
	if err == nil && community != id.Community {
		err = fmt.Errorf("the server coordinates %q, this gateway belongs to %q", community, id.Community)
	}
	return err
}

// verifyCoordinator checks a server's chain up to one of the authorities and
// returns the community that it coordinates. atLeast is the least that the time
// can be.
//
// A gateway without a battery for its clock wakes up in 1970, and one that
// remembers when it was shut down wakes up on that day. Such a clock knows
// nothing about "not yet": a certificate that begins later than now, signed by
// the community's authority, says that the clock is behind. It does know about
// "no longer": what had ended when this gateway's own certificate was signed has
// ended for good. So time counts from the latest of those that are known for
// certain; see docs/adr.
func verifyCoordinator(state tls.ConnectionState, authorities []*x509.Certificate, atLeast time.Time) (roll.CommunityID, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the server shows no certificate")
	}
	leaf := state.PeerCertificates[0]
	roots, between, at := x509.NewCertPool(), x509.NewCertPool(), latest(atLeast, leaf.NotBefore)
	for _, c := range authorities {
		roots.AddCert(c)
		at = latest(at, c.NotBefore)
	}
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired {
		return "", fmt.Errorf("the server's certificate ended on %s, and here it is %s: if this computer's clock is ahead, set it (timedatectl)", invalid.Cert.NotAfter.UTC().Format(time.RFC3339), atLeast.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return "", fmt.Errorf("the server's certificate is not of this community's authority: %w: if the coordinator was set up anew, enrol this gateway anew with a token from it", err)
	}
	for _, u := range leaf.URIs {
		if isCoordinator(u) {
			return roll.CommunityID(u.Host), nil
		}
	}
	return "", errors.New("the server's certificate is not a coordinator's")
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
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
				name, err := verifyCoordinator(state, []*x509.Certificate{c}, time.Now())
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
