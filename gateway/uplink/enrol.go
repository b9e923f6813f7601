// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
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
	Replaced  bool // an identity of the same gateway
}

// ErrEnrolled says that there is another gateway's identity already.
var ErrEnrolled = errors.New("enrolled as another gateway")

// Bounds of an enrolment, on the wall clock. On a bad link an answer gets lost;
// the coordinator gives it again to who asks with the same key.
const (
	enrolWithin  = 90 * time.Second
	answerWithin = 25 * time.Second
	enrolPause   = time.Second
)

// Enrol exchanges a token for a certificate and stores it with its key under
// dir. The key is made here and never leaves; it is on disk before the token is
// spent. An identity of the same gateway is replaced, once the new one is there.
func Enrol(ctx context.Context, t Token, dir string) (Enrolled, error) {
	old, err := LoadIdentity(dir)
	had := err == nil
	if had && old.Gateway != t.Gateway {
		return Enrolled{}, fmt.Errorf("%w: %s holds the identity of gateway %s, the token is for %s; enrol in a folder of its own, or move this one away first", ErrEnrolled, dir, old.Gateway, t.Gateway)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Enrolled{}, fmt.Errorf("creating the identity's folder: %w", err)
	}
	path := filepath.Join(dir, enrolKeyFile)
	key := waitingKey(path)
	if key == nil {
		if key, err = newKey(path); err != nil {
			return Enrolled{}, err
		}
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return Enrolled{}, fmt.Errorf("making the signing request: %w", err)
	}
	answer, authority, err := exchangePatiently(ctx, t, request)
	if err != nil {
		return Enrolled{}, err
	}
	cert, community, err := checkAnswer(answer, t, key)
	if err != nil {
		return Enrolled{}, err
	}
	if had && old.Community != community {
		return Enrolled{}, fmt.Errorf("%w: %s holds an identity of community %s, the token is of %s; move the folder away, and ask for a new token", ErrEnrolled, dir, old.Community, community)
	}
	file, err := encodeIdentity(key, answer.GetCertificateDer(), [][]byte{authority})
	if err != nil {
		return Enrolled{}, err
	}
	if err := writeFile(filepath.Join(dir, IdentityFile), file, 0o600); err != nil {
		return Enrolled{}, err
	}
	e := Enrolled{Gateway: t.Gateway, Community: community, Address: t.Address, NotAfter: cert.NotAfter, Replaced: had}
	return e, errors.Join(removeKey(path), removeKey(filepath.Join(dir, renewKeyFile)))
}

// exchangePatiently tries again while the coordinator can't be reached.
func exchangePatiently(ctx context.Context, t Token, request []byte) (*allmendev1.EnrolResponse, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, enrolWithin)
	defer cancel()
	for tries := 1; ; tries++ {
		answer, authority, err := exchange(ctx, t, request)
		const most = 5
		if !errors.Is(err, errUnreached) || tries == most || !sleep(ctx, enrolPause) {
			return answer, authority, err
		}
	}
}

// errUnreached: no answer came; the token may be spent, and the same key may ask again.
var errUnreached = errors.New("the coordinator could not be reached")

// exchange spends the token. It returns the authority that the token names, as
// the server showed it.
func exchange(ctx context.Context, t Token, request []byte) (*allmendev1.EnrolResponse, []byte, error) {
	var community roll.CommunityID
	var authority []byte
	config := pinned(t.Authority, &community, &authority)
	verify := config.VerifyConnection
	var stranger atomic.Pointer[error] // who is there, and is not whom the token names
	config.VerifyConnection = func(state tls.ConnectionState) error {
		err := verify(state)
		if err != nil {
			stranger.Store(&err)
		}
		return err
	}
	conn, err := dial(t.Address, config)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = conn.Close() }() // the answer is what matters
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := allmendev1.NewGatewayServiceClient(conn).Enrol(ctx, &allmendev1.EnrolRequest{TokenSecret: t.Secret, CsrDer: request})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unavailable, codes.DeadlineExceeded:
		if who := stranger.Load(); who != nil {
			return nil, nil, fmt.Errorf("the coordinator at %s: %w", t.Address, *who)
		}
		return nil, nil, fmt.Errorf("%w at %s: %w; is it running, and can this computer reach that address? Run the same command again: from this folder the token works until it expires", errUnreached, t.Address, plain(err))
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
