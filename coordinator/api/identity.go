// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Kinds of ErrDenied that a gateway answers by itself; see allmendev1.Refusal.
var (
	// ErrRevoked: the certificate or the gateway was revoked.
	ErrRevoked = fmt.Errorf("%w: revoked", ErrDenied)
	// ErrExpired: the certificate has ended, and may be renewed still.
	ErrExpired = fmt.Errorf("%w: the certificate has ended", ErrDenied)
	// ErrEnded: the certificate has ended for good.
	ErrEnded = fmt.Errorf("%w: the certificate has ended for good", ErrDenied)
	// ErrUnknown: the gateway is not in the register.
	ErrUnknown = fmt.Errorf("%w: not in the register", ErrDenied)
)

// Identity is a gateway as its certificate proves it. Times are wall time.
type Identity struct {
	Gateway     roll.GatewayID
	Serial      string
	Renew       time.Time // when a new certificate is due
	Ends        time.Time // of the certificate
	Certificate *x509.Certificate
}

// withReason is a status that carries why a gateway was refused.
func withReason(s *status.Status, err error) error {
	var reason allmendev1.RefusalReason
	switch {
	case errors.Is(err, ErrRevoked):
		reason = allmendev1.RefusalReason_REFUSAL_REASON_REVOKED
	case errors.Is(err, ErrExpired):
		reason = allmendev1.RefusalReason_REFUSAL_REASON_EXPIRED
	case errors.Is(err, ErrEnded):
		reason = allmendev1.RefusalReason_REFUSAL_REASON_ENDED
	case errors.Is(err, ErrUnknown):
		reason = allmendev1.RefusalReason_REFUSAL_REASON_UNKNOWN
	default:
		return s.Err()
	}
	if detailed, err := s.WithDetails(&allmendev1.Refusal{Reason: reason}); err == nil {
		return detailed.Err()
	}
	return s.Err() // the text says it, too
}

// peerCertificate is what the caller has shown; the handshake has proved its key.
func peerCertificate(ctx context.Context) (*x509.Certificate, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, fmt.Errorf("%w: the caller is unknown", ErrDenied)
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil, fmt.Errorf("%w: a gateway shows its certificate: enrol it with `allmende gateway enrol TOKEN`", ErrDenied)
	}
	return info.State.PeerCertificates[0], nil
}

// identify names the gateway by its client certificate.
func (g *Gateways) identify(ctx context.Context) (Identity, error) {
	cert, err := peerCertificate(ctx)
	if err != nil {
		return Identity{}, err
	}
	return g.fleet.Identify(ctx, cert)
}

// Renew implements the service.
func (g *Gateways) Renew(ctx context.Context, req *allmendev1.RenewRequest) (*allmendev1.RenewResponse, error) {
	cert, err := peerCertificate(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	e, err := g.fleet.Renew(ctx, cert, req.GetCsrDer())
	if err != nil {
		return nil, toStatus(err)
	}
	return &allmendev1.RenewResponse{CertificateDer: [][]byte{e.CertificateDER}, AuthorityDer: [][]byte{e.AuthorityDER}}, nil
}

// Check implements the service.
func (g *Gateways) Check(ctx context.Context, req *allmendev1.CheckRequest) (*allmendev1.CheckResponse, error) {
	id, err := g.identify(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	answer := &allmendev1.CheckResponse{
		GatewayId: string(id.Gateway), CommunityId: string(g.community), WallUnixMs: g.wall().UnixMilli(),
		CertificateEndsUnixMs: id.Ends.UnixMilli(), CertificateRenewUnixMs: id.Renew.UnixMilli(),
	}
	if spool := req.GetSpoolId(); spool != "" {
		if err := checkSpoolID("spool_id", spool); err != nil {
			return nil, toStatus(err)
		}
		if answer.AcknowledgedSequence, err = g.fleet.Acknowledged(ctx, id.Gateway, spool); err != nil {
			return nil, toStatus(err)
		}
	}
	return answer, nil
}

// CertificateState is what a gateway's certificate is good for.
type CertificateState string

// The states of a certificate.
const (
	CertificateCurrent CertificateState = "current" // in use
	CertificateGood    CertificateState = "good"    // may be used
	CertificateExpired CertificateState = "expired" // may be renewed only
	CertificateEnded   CertificateState = "ended"
	CertificateRevoked CertificateState = "revoked"
)

// Certificate is one that was given to a gateway. A zero time means never.
type Certificate struct {
	Gateway   roll.GatewayID
	Serial    string
	Origin    string
	State     CertificateState
	Issued    time.Time
	Ends      time.Time
	LastSeen  time.Time
	Revoked   time.Time
	Reason    string
	Connected bool
}

// Identities is the coordinator behind the IdentityService.
type Identities interface {
	// Certificates are those of a gateway, or of all where it is empty.
	Certificates(ctx context.Context, gateway roll.GatewayID) ([]Certificate, error)
	// Revoke ends a certificate, or all of a gateway where serial is empty.
	Revoke(ctx context.Context, gateway roll.GatewayID, serial, reason string) (disconnected bool, at time.Time, err error)
}

// identityService implements the IdentityService.
type identityService struct {
	allmendev1.UnimplementedIdentityServiceServer
	identities Identities
}

// IdentityService is the service of those who look after gateways' identities.
func IdentityService(i Identities) Service {
	return Service{
		Desc: &allmendev1.IdentityService_ServiceDesc, Impl: identityService{identities: i},
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterIdentityServiceHandlerClient(ctx, mux, allmendev1.NewIdentityServiceClient(conn))
		},
	}
}

// maxSerial bounds a serial in hex: 20 bytes at most (RFC 5280).
const (
	maxSerial = 40
	maxReason = 200
)

// ListGatewayCertificates implements the service.
func (s identityService) ListGatewayCertificates(ctx context.Context, req *allmendev1.ListGatewayCertificatesRequest) (*allmendev1.ListGatewayCertificatesResponse, error) {
	if id := req.GetGatewayId(); id != "" {
		if err := roll.CheckID(id); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "gateway_id: %v", err)
		}
	}
	found, err := s.identities.Certificates(ctx, roll.GatewayID(req.GetGatewayId()))
	if err != nil {
		return nil, toStatus(err)
	}
	out := &allmendev1.ListGatewayCertificatesResponse{}
	for _, c := range found {
		out.Certificates = append(out.Certificates, &allmendev1.GatewayCertificate{
			GatewayId: string(c.Gateway), Serial: c.Serial, Origin: c.Origin, State: string(c.State),
			IssuedUnixMs: unixOrNever(c.Issued), EndsUnixMs: unixOrNever(c.Ends), LastSeenUnixMs: unixOrNever(c.LastSeen),
			RevokedUnixMs: unixOrNever(c.Revoked), Reason: c.Reason, Connected: c.Connected,
		})
	}
	return out, nil
}

// RevokeGateway implements the service.
func (s identityService) RevokeGateway(ctx context.Context, req *allmendev1.RevokeGatewayRequest) (*allmendev1.RevokeGatewayResponse, error) {
	if err := roll.CheckID(req.GetGatewayId()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "gateway_id: %v", err)
	}
	serial := serialOf(req.GetSerial())
	if len(serial) > maxSerial {
		return nil, status.Errorf(codes.InvalidArgument, "serial: %d characters: a serial has at most %d", len(serial), maxSerial)
	}
	if len(req.GetReason()) > maxReason {
		return nil, status.Errorf(codes.InvalidArgument, "reason: %d bytes: write at most %d", len(req.GetReason()), maxReason)
	}
	disconnected, at, err := s.identities.Revoke(ctx, roll.GatewayID(req.GetGatewayId()), serial, clip(req.GetReason()))
	if err != nil {
		return nil, toStatus(err)
	}
	return &allmendev1.RevokeGatewayResponse{Disconnected: disconnected, RevokedUnixMs: at.UnixMilli()}, nil
}

// serialOf takes a serial as other programs write it, too: in capitals, with
// colons, without its first zero.
func serialOf(text string) string {
	serial := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if len(serial)%2 == 1 {
		serial = "0" + serial
	}
	return serial
}

func unixOrNever(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
