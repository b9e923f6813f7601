// SPDX-License-Identifier: AGPL-3.0-or-later

package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
)

// scheme of the names in our certificates.
const scheme = "allmende"

// maxRequest bounds a signing request; a P-256 one has some 250 bytes.
const maxRequest = 8 << 10

// ErrRequest is wrapped by every refusal of a signing request.
var ErrRequest = errors.New("signing request refused")

// ErrIdentity is wrapped where a certificate names no gateway of the community.
var ErrIdentity = errors.New("not a gateway of this community")

// Issued is a certificate that was signed for a gateway.
type Issued struct {
	DER       []byte
	Serial    string // hex
	NotBefore time.Time
	NotAfter  time.Time
}

// Client is who a gateway's certificate names, and what it says about itself.
// Whether it is still in force is not the certificate's to say.
type Client struct {
	Gateway   roll.GatewayID
	Serial    string // hex
	KeyHash   [32]byte
	NotBefore time.Time
	NotAfter  time.Time
}

// SignGateway signs a PKCS #10 request for a gateway, from an instant on, for a
// time. The request may name the gateway by its URI or carry no name; any other
// name, and any wish to be an authority, is refused. The errors wrap [ErrRequest].
func (a *Authority) SignGateway(id roll.GatewayID, requestDER []byte, from time.Time, life time.Duration) (Issued, error) {
	pub, err := checkRequest(a.community, id, requestDER)
	if err != nil {
		return Issued{}, err
	}
	template := a.template(string(id), from, life)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	template.URIs = append(template.URIs, gatewayURI(a.community, id))
	cert, err := a.sign(template, pub)
	if err != nil {
		return Issued{}, err
	}
	return Issued{cert.Raw, Serial(cert), cert.NotBefore, cert.NotAfter}, nil
}

// Parse says whether a request is one that could be signed for some gateway:
// small, well formed, with a key on P-256 that its signature proves. It returns
// the SHA-256 of the key.
func Parse(requestDER []byte) (keyHash [32]byte, err error) {
	req, _, err := parse(requestDER)
	if err != nil {
		return keyHash, err
	}
	return sha256.Sum256(req.RawSubjectPublicKeyInfo), nil
}

func parse(requestDER []byte) (*x509.CertificateRequest, *ecdsa.PublicKey, error) {
	if len(requestDER) > maxRequest {
		return nil, nil, fmt.Errorf("%w: larger than %d bytes", ErrRequest, maxRequest)
	}
	req, err := x509.ParseCertificateRequest(requestDER)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: not a PKCS #10 request: %w", ErrRequest, err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, nil, fmt.Errorf("%w: it does not prove its key: %w", ErrRequest, err)
	}
	pub, ok := req.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, nil, fmt.Errorf("%w: the key is not ECDSA on P-256", ErrRequest)
	}
	return req, pub, nil
}

// checkRequest says whether a request could be signed for this gateway, and
// returns its public key.
func checkRequest(community roll.CommunityID, id roll.GatewayID, requestDER []byte) (*ecdsa.PublicKey, error) {
	req, pub, err := parse(requestDER)
	if err != nil {
		return nil, err
	}
	refuse := func(format string, args ...any) (*ecdsa.PublicKey, error) {
		return nil, fmt.Errorf("%w: %s", ErrRequest, fmt.Sprintf(format, args...))
	}
	if len(req.DNSNames)+len(req.IPAddresses)+len(req.EmailAddresses) > 0 {
		return refuse("it asks for names of the web: a gateway has only its URI")
	}
	for _, u := range req.URIs {
		if u.String() != gatewayURI(community, id).String() {
			return refuse("it asks for the name %.100q, but the token is for %q", u, gatewayURI(community, id))
		}
	}
	if cn := req.Subject.CommonName; cn != "" && cn != string(id) {
		return refuse("its subject is %.100q, but the token is for gateway %q", cn, id)
	}
	// Only the names that were just checked may be asked for: basic constraints,
	// key usages and whatever comes later are decided by the authority.
	subjectAltName := asn1.ObjectIdentifier{2, 5, 29, 17}
	for _, e := range req.Extensions {
		if !e.Id.Equal(subjectAltName) {
			return refuse("it asks for extension %s, which only the authority grants", e.Id)
		}
	}
	return pub, nil
}

// Client is the gateway that a certificate names, if this authority signed it
// for one. It looks at no clock: a certificate that has ended, or was signed by
// a clock that was ahead, is told as what it is, and the caller decides. The
// errors wrap [ErrIdentity].
func (a *Authority) Client(cert *x509.Certificate) (Client, error) {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	at := cert.NotBefore // an instant at which it was good, if it ever was
	if at.Before(a.cert.NotBefore) {
		at = a.cert.NotBefore
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return Client{}, fmt.Errorf("%w: its certificate is not one that this community's authority signed for a gateway: %w", ErrIdentity, err)
	}
	id, err := identify(a.community, cert)
	if err != nil {
		return Client{}, err
	}
	return Client{id, Serial(cert), KeyHash(cert), cert.NotBefore, cert.NotAfter}, nil
}

// identify is the gateway that a certificate names. The errors wrap [ErrIdentity].
func identify(community roll.CommunityID, cert *x509.Certificate) (roll.GatewayID, error) {
	if cert.IsCA {
		return "", fmt.Errorf("%w: its certificate is an authority's", ErrIdentity)
	}
	if len(cert.URIs) != 1 {
		return "", fmt.Errorf("%w: its certificate has %d names", ErrIdentity, len(cert.URIs))
	}
	if !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return "", fmt.Errorf("%w: its certificate is not a client's", ErrIdentity)
	}
	name := cert.URIs[0].String()
	prefix := gatewayURI(community, "").String()
	if len(name) <= len(prefix) || name[:len(prefix)] != prefix || roll.CheckID(name[len(prefix):]) != nil {
		return "", fmt.Errorf("%w: its certificate is for %.100q", ErrIdentity, name)
	}
	return roll.GatewayID(name[len(prefix):]), nil
}

// KeyHash is the SHA-256 of a certificate's public key.
func KeyHash(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// Serial is a certificate's serial number in hex, by whole bytes, as other
// programs show it.
func Serial(cert *x509.Certificate) string { return hex.EncodeToString(cert.SerialNumber.Bytes()) }

func gatewayURI(community roll.CommunityID, id roll.GatewayID) *url.URL {
	return &url.URL{Scheme: scheme, Host: string(community), Path: "/gateway/" + string(id)}
}

func coordinatorURI(community roll.CommunityID) *url.URL {
	return &url.URL{Scheme: scheme, Host: string(community), Path: "/coordinator"}
}
