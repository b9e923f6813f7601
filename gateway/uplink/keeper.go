// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Fresh keys wait under these names until their certificate has come, so that
// a request whose answer was lost can be repeated with the same key.
const (
	renewKeyFile = "renew.key"
	enrolKeyFile = "enrol.key"
)

// Keeper keeps a gateway's identity: it renews it, and takes notice when
// `allmende gateway enrol` has put another in its place. Its methods may be
// called from any goroutine.
type Keeper struct {
	dir string

	mu      sync.Mutex
	present Identity
}

// OpenKeeper reads the identity in a folder.
func OpenKeeper(dir string) (*Keeper, error) {
	id, err := LoadIdentity(dir)
	if err != nil {
		return nil, err
	}
	return &Keeper{dir: dir, present: id}, nil
}

// Identity is who the gateway is now.
func (k *Keeper) Identity() Identity {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.present
}

// Look reads the folder again and says whether there is another identity of the
// same gateway. What can't be read, or belongs to another gateway, changes nothing.
func (k *Keeper) Look() bool {
	id, err := LoadIdentity(k.dir)
	if err != nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if id.Gateway != k.present.Gateway || id.Community != k.present.Community || id.Serial == k.present.Serial {
		return false
	}
	k.present = id
	return true
}

// renew trades the identity for one with a fresh key, and stores it before it
// is used: a coordinator may forget what nobody came back with, a gateway may not.
func (k *Keeper) renew(ctx context.Context, conn grpc.ClientConnInterface) error {
	old := k.Identity()
	key, err := k.freshKey(old)
	if err != nil {
		return err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return fmt.Errorf("making the signing request: %w", err)
	}
	var from peer.Peer
	answer, err := allmendev1.NewGatewayServiceClient(conn).Renew(ctx, &allmendev1.RenewRequest{CsrDer: request}, grpc.Peer(&from))
	if err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	fresh, file, err := checkRenewed(answer, old, key, from)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(k.dir, IdentityFile), file, 0o600); err != nil {
		return err
	}
	k.mu.Lock()
	k.present = fresh
	k.mu.Unlock()
	return removeKey(filepath.Join(k.dir, renewKeyFile))
}

// freshKey is one that waits for its certificate, or a new one.
func (k *Keeper) freshKey(old Identity) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(k.dir, renewKeyFile)
	if key := waitingKey(path); key != nil && !key.Equal(old.certificate.PrivateKey) {
		return key, nil
	}
	return newKey(path)
}

// waitingKey is a key that was stored and not used up; nil if there is none.
func waitingKey(path string) *ecdsa.PrivateKey {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != keyBlock {
		return nil
	}
	key, err := parseKey(block.Bytes)
	if err != nil || key.Curve != elliptic.P256() {
		return nil
	}
	return key
}

// newKey makes a key and stores it.
func newKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	b, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, b, 0o600)
}

// removeKey removes a key that has its certificate.
func removeKey(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing a key that is used up: %w", err)
	}
	return nil
}

// checkRenewed makes sure that what is stored will work: it is for the same
// gateway and the fresh key, and under the authorities that come with it the
// coordinator on the other side is still the coordinator.
func checkRenewed(answer *allmendev1.RenewResponse, old Identity, key *ecdsa.PrivateKey, from peer.Peer) (Identity, []byte, error) {
	file, err := encodeIdentity(key, answer.GetCertificateDer(), answer.GetAuthorityDer())
	if err != nil {
		return Identity{}, nil, err
	}
	fresh, err := parseIdentity(file)
	if err != nil {
		return Identity{}, nil, fmt.Errorf("%w: what it sent for a renewed certificate: %w", ErrProtocol, err)
	}
	if fresh.Gateway != old.Gateway || fresh.Community != old.Community {
		return Identity{}, nil, fmt.Errorf("%w: its certificate is for somebody else (%s of %s)", ErrProtocol, fresh.Gateway, fresh.Community)
	}
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Identity{}, nil, fmt.Errorf("%w: it answered without TLS", ErrProtocol)
	}
	if err := fresh.verify(info.State, fresh.authorities); err != nil {
		return Identity{}, nil, fmt.Errorf("%w: under the authorities that it sent: %w", ErrProtocol, err)
	}
	return fresh, file, nil
}

// dial is a connection to the coordinator.
func dial(address string, config *tls.Config, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("coordinator address %q: %w", address, err)
	}
	return conn, nil
}

// Standing is what a coordinator says about a gateway that asks. Times are its
// wall clock's.
type Standing struct {
	Gateway   roll.GatewayID
	Community roll.CommunityID
	Now       time.Time
	Ends      time.Time // of the certificate
	Renew     time.Time // when a new one is due
	// Acknowledged is the highest sequence of the spool that was asked about
	// that the coordinator holds for good.
	Acknowledged uint64
}

// Check asks the coordinator at an address whether it takes an identity, and
// how much it has of a spool.
func Check(ctx context.Context, address string, id Identity, spoolID string) (Standing, error) {
	conn, err := dial(address, id.TLS())
	if err != nil {
		return Standing{}, err
	}
	defer func() { _ = conn.Close() }() // the answer is what matters
	answer, err := allmendev1.NewGatewayServiceClient(conn).Check(ctx, &allmendev1.CheckRequest{SpoolId: spoolID})
	if err != nil {
		return Standing{}, advise(err)
	}
	return Standing{
		roll.GatewayID(answer.GetGatewayId()), roll.CommunityID(answer.GetCommunityId()),
		time.UnixMilli(answer.GetWallUnixMs()), time.UnixMilli(answer.GetCertificateEndsUnixMs()), time.UnixMilli(answer.GetCertificateRenewUnixMs()),
		answer.GetAcknowledgedSequence(),
	}, nil
}
