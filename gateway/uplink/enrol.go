// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Token is what an enrolment token says.
type Token struct {
	Address   string         `json:"addr"`   // host:port to dial
	Gateway   roll.GatewayID `json:"id"`     // whom it is for
	Secret    string         `json:"secret"` // proves it, once
	Authority string         `json:"ca"`     // SHA-256 of the authority's certificate, hex
}

const (
	tokenPrefix = "alm1."
	maxToken    = 4 << 10
)

// ErrToken says that a text is no enrolment token.
var ErrToken = errors.New("not an enrolment token")

// ParseToken reads "alm1." and base64url of JSON.
func ParseToken(text string) (Token, error) {
	fail := func(why string) (Token, error) {
		return Token{}, fmt.Errorf("%w: %s; copy the whole line that allmende gateway token prints", ErrToken, why)
	}
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, tokenPrefix)
	switch {
	case len(text) > maxToken:
		return fail("it is too long")
	case !ok:
		return fail("it does not begin with " + tokenPrefix)
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil {
		return fail("its characters are not base64url")
	}
	var t Token
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil || dec.More() {
		return fail("its content can't be read")
	}
	fingerprint, err := hex.DecodeString(t.Authority)
	if _, _, addrErr := net.SplitHostPort(t.Address); addrErr != nil || err != nil || len(fingerprint) != 32 || t.Secret == "" || t.Gateway == "" {
		return fail("its content is incomplete")
	}
	t.Authority = strings.ToLower(t.Authority)
	return t, nil
}

// Enrolled is the result of an enrolment.
type Enrolled struct {
	Gateway   roll.GatewayID
	Community roll.CommunityID
	Address   string
	NotAfter  time.Time
}

// ErrEnrolled says that there is an identity already.
var ErrEnrolled = errors.New("already enrolled")

const enrolWithin = 30 * time.Second

// Enrol exchanges a token for a certificate and stores it with its key under
// dir, which must not hold an identity yet. The key is made here and never
// leaves; it is on disk before the token is spent.
func Enrol(ctx context.Context, t Token, dir string) (Enrolled, error) {
	paths := PathsIn(dir)
	if _, err := os.Stat(paths.Certificate); err == nil {
		return Enrolled{}, fmt.Errorf("%w: %s is there; to enrol anew, move %s away first", ErrEnrolled, paths.Certificate, dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Enrolled{}, fmt.Errorf("creating the identity's folder: %w", err)
	}
	key, err := newKey(paths.Key)
	if err != nil {
		return Enrolled{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return Enrolled{}, fmt.Errorf("making the signing request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, enrolWithin)
	defer cancel()
	answer, authority, err := exchange(ctx, t, request)
	if err != nil {
		return Enrolled{}, err
	}
	cert, community, err := checkAnswer(answer, t, key)
	if err != nil {
		return Enrolled{}, err
	}
	if err := writeFile(paths.Authority, encodePEM([][]byte{authority}), 0o644); err != nil {
		return Enrolled{}, err
	}
	if err := writeFile(paths.Certificate, encodePEM(answer.GetCertificateDer()), 0o644); err != nil {
		return Enrolled{}, err
	}
	return Enrolled{Gateway: t.Gateway, Community: community, Address: t.Address, NotAfter: cert.NotAfter}, nil
}

func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key: %w", err)
	}
	return key, writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// exchange spends the token. It returns the authority that the token names, as
// the server showed it.
func exchange(ctx context.Context, t Token, request []byte) (*allmendev1.EnrolResponse, []byte, error) {
	var community roll.CommunityID
	var authority []byte
	conn, err := grpc.NewClient("passthrough:///"+t.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(pinned(t.Authority, &community, &authority))),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, nil, fmt.Errorf("coordinator address %q: %w", t.Address, err)
	}
	defer func() { _ = conn.Close() }() // the answer is what matters
	answer, err := allmendev1.NewGatewayServiceClient(conn).Enrol(ctx, &allmendev1.EnrolRequest{TokenSecret: t.Secret, CsrDer: request})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unavailable, codes.DeadlineExceeded:
		return nil, nil, fmt.Errorf("reaching the coordinator at %s: %w; is it running, and can this computer reach that address?", t.Address, plain(err))
	default:
		return nil, nil, fmt.Errorf("the coordinator refused to enrol %s: %w; a token works once and for a short time, ask for a new one", t.Gateway, plain(err))
	}
	if answer.GetCommunityId() != string(community) {
		return nil, nil, fmt.Errorf("%w: it enrols for %.60q and is the coordinator of %.60q", ErrProtocol, answer.GetCommunityId(), community)
	}
	if der := answer.GetAuthorityDer(); len(der) > 0 && !bytes.Equal(der, authority) {
		return nil, nil, fmt.Errorf("%w: it names another authority than the token", ErrProtocol)
	}
	return answer, authority, nil
}

// checkAnswer makes sure that what is stored will work.
func checkAnswer(answer *allmendev1.EnrolResponse, t Token, key *ecdsa.PrivateKey) (*x509.Certificate, roll.CommunityID, error) {
	if len(answer.GetCertificateDer()) == 0 {
		return nil, "", fmt.Errorf("%w: it sent no certificate", ErrProtocol)
	}
	cert, err := x509.ParseCertificate(answer.GetCertificateDer()[0])
	if err != nil {
		return nil, "", fmt.Errorf("%w: its certificate can't be read: %w", ErrProtocol, err)
	}
	community, gateway, err := gatewayName(cert)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || !pub.Equal(&key.PublicKey) || gateway != t.Gateway || string(community) != answer.GetCommunityId() {
		return nil, "", fmt.Errorf("%w: its certificate is for somebody else (%s of %s)", ErrProtocol, gateway, community)
	}
	return cert, community, nil
}

// writeFile replaces a file in one step.
func writeFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
