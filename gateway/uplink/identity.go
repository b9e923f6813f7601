// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// IdentityFile is the one file of an identity in its folder: the private key,
// the certificate, and the authorities that the gateway trusts, in PEM. It is
// replaced as a whole, so that key and certificate always belong together.
const IdentityFile = "gateway.pem"

// PEM block types.
const (
	keyBlock         = "PRIVATE KEY"
	certificateBlock = "CERTIFICATE"
)

// maxIdentity bounds an identity's file; one with two authorities has some 2 KiB.
const maxIdentity = 64 << 10

// Identity is who a gateway is, as its community's authority signed it.
type Identity struct {
	Gateway   roll.GatewayID
	Community roll.CommunityID
	Serial    string // of the certificate, hex
	NotBefore time.Time
	NotAfter  time.Time

	certificate tls.Certificate
	authorities []*x509.Certificate
}

// ErrNotEnrolled says that there is no usable identity.
var ErrNotEnrolled = errors.New("this gateway is not enrolled")

const howToEnrol = "ask for a token at the coordinator (allmende gateway token GATEWAY), then run: allmende gateway enrol TOKEN"

// LoadIdentity reads and checks the identity in a folder. It looks at no clock:
// whether a certificate has ended is for the coordinator to say, because a
// gateway's own clock may be wrong by years.
func LoadIdentity(dir string) (Identity, error) {
	path := filepath.Join(dir, IdentityFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return Identity{}, fmt.Errorf("%w (there is no %s); %s", ErrNotEnrolled, path, howToEnrol)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("the gateway's identity: %w", err)
	}
	if info.Size() > maxIdentity {
		return Identity{}, fmt.Errorf("%w: %s has %d bytes and is none; %s", ErrNotEnrolled, path, info.Size(), howToEnrol)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, fmt.Errorf("the gateway's identity: %w; it is read by the user that enrolled it", err)
	}
	id, err := parseIdentity(b)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %s: %w; %s", ErrNotEnrolled, path, err, howToEnrol)
	}
	return id, nil
}

// parseIdentity reads an identity's file.
func parseIdentity(b []byte) (Identity, error) {
	var id Identity
	var key *ecdsa.PrivateKey
	var leaf *x509.Certificate
	for len(bytes.TrimSpace(b)) > 0 {
		block, rest := pem.Decode(b)
		if block == nil {
			return Identity{}, errors.New("what stands in it is not PEM")
		}
		b = rest
		switch block.Type {
		case keyBlock:
			k, err := parseKey(block.Bytes)
			if err != nil || key != nil {
				return Identity{}, errors.Join(errors.New("its private key can't be read"), err)
			}
			key = k
		case certificateBlock:
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return Identity{}, fmt.Errorf("a certificate in it can't be read: %w", err)
			}
			switch {
			case cert.IsCA:
				id.authorities = append(id.authorities, cert)
			case leaf == nil:
				leaf = cert
			}
			if !cert.IsCA {
				id.certificate.Certificate = append(id.certificate.Certificate, cert.Raw)
			}
		default:
			return Identity{}, fmt.Errorf("it holds a %.40q", block.Type)
		}
	}
	if key == nil || leaf == nil || len(id.authorities) == 0 {
		return Identity{}, errors.New("key, certificate or authority is missing")
	}
	return id, id.complete(key, leaf)
}

// complete fills in what the certificate says, and checks that all fits together.
func (id *Identity) complete(key *ecdsa.PrivateKey, leaf *x509.Certificate) (err error) {
	pub, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(&key.PublicKey) {
		return errors.New("key and certificate do not belong together")
	}
	if id.Community, id.Gateway, err = gatewayName(leaf); err != nil {
		return err
	}
	id.certificate.PrivateKey, id.certificate.Leaf = key, leaf
	id.NotBefore, id.NotAfter, id.Serial = leaf.NotBefore, leaf.NotAfter, hex.EncodeToString(leaf.SerialNumber.Bytes())
	return nil
}

func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T", key)
	}
	return ec, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

// encodeIdentity is an identity's file.
func encodeIdentity(key *ecdsa.PrivateKey, chain, authorities [][]byte) ([]byte, error) {
	out, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	for _, der := range append(append([][]byte(nil), chain...), authorities...) {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})...)
	}
	return out, nil
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

// Sign signs the SHA-256 of message with the gateway's key (ECDSA, ASN.1). The
// caller puts in front what the message is, so that a signature of one thing is
// none of another.
func (id Identity) Sign(message []byte) ([]byte, error) {
	key, ok := id.certificate.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, ErrNotEnrolled
	}
	sum := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, key, sum[:])
}

// Chain is the gateway's certificate and those of its authorities, in DER.
func (id Identity) Chain() [][]byte {
	chain := slices.Clone(id.certificate.Certificate)
	for _, a := range id.authorities {
		chain = append(chain, a.Raw)
	}
	return chain
}

// Authorities are those that the gateway trusts.
func (id Identity) Authorities() []*x509.Certificate { return slices.Clone(id.authorities) }
