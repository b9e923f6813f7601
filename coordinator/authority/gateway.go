// SPDX-License-Identifier: AGPL-3.0-or-later

package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
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
	DER      []byte
	Serial   string // hex
	NotAfter time.Time
}

// SignGateway signs a PKCS #10 request for a gateway. The request may name the
// gateway by its URI or carry no name; any other name, and any wish to be an
// authority, is refused. The errors wrap [ErrRequest].
func (a *Authority) SignGateway(id roll.GatewayID, requestDER []byte) (Issued, error) {
	pub, err := checkRequest(a.community, id, requestDER)
	if err != nil {
		return Issued{}, err
	}
	template := a.template(string(id), gatewayLife)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	template.URIs = append(template.URIs, gatewayURI(a.community, id))
	cert, err := a.sign(template, pub)
	if err != nil {
		return Issued{}, err
	}
	return Issued{cert.Raw, Serial(cert), cert.NotAfter}, nil
}

// Parse says whether a request is one that could be signed for some gateway:
// small, well formed, with a key on P-256 that its signature proves.
func Parse(requestDER []byte) error {
	_, _, err := parse(requestDER)
	return err
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

// Identify is the gateway that a verified certificate names. The errors wrap [ErrIdentity].
func Identify(community roll.CommunityID, cert *x509.Certificate) (roll.GatewayID, error) {
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

// Serial is a certificate's serial number in hex.
func Serial(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

func gatewayURI(community roll.CommunityID, id roll.GatewayID) *url.URL {
	return &url.URL{Scheme: scheme, Host: string(community), Path: "/gateway/" + string(id)}
}

func coordinatorURI(community roll.CommunityID) *url.URL {
	return &url.URL{Scheme: scheme, Host: string(community), Path: "/coordinator"}
}
