// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Kinds of refusal that a fleet answers with; the edge makes gRPC codes of them.
var (
	// ErrDenied: the caller is not, or is no longer, who may do this.
	ErrDenied = errors.New("not allowed")
	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrStorage: it cannot be stored now; later it can.
	ErrStorage = errors.New("cannot be stored now")
)

// Enrolled is the answer to an enrolment or a renewal.
type Enrolled struct {
	Gateway        roll.GatewayID
	CertificateDER []byte
	AuthorityDER   []byte
}

// Welcome is the answer to a hello.
type Welcome struct {
	Acknowledged uint64 // the highest durable sequence of the spool
	Epoch        uint64
}

// Fleet is the coordinator behind the gateways' listener.
type Fleet interface {
	// Identify names the gateway of a certificate that is in force, or refuses it (ErrDenied).
	Identify(ctx context.Context, cert *x509.Certificate) (Identity, error)
	// Enrol trades a token's secret and a signing request for a certificate.
	Enrol(ctx context.Context, secret string, requestDER []byte) (Enrolled, error)
	// Renew trades a certificate, in force or not long ended, and a signing
	// request with a fresh key for a new certificate.
	Renew(ctx context.Context, cert *x509.Certificate, requestDER []byte) (Enrolled, error)
	// Acknowledged is the highest durable sequence of a gateway's spool.
	Acknowledged(ctx context.Context, gateway roll.GatewayID, spoolID string) (uint64, error)
	// Attach makes s the gateway's session; an older one ends with ErrReplaced.
	Attach(ctx context.Context, s *Session) (Welcome, error)
	// Detach is the end of a session that was attached.
	Detach(s *Session, cause error)
	// Live hands over live readings.
	Live(ctx context.Context, s *Session, b LiveBatch) error
	// Meter stores samples and returns the highest contiguous durable sequence
	// of the spool. ErrStorage where it can't now.
	Meter(ctx context.Context, s *Session, b MeterBatch) (durable uint64, err error)
	// Status notes what the gateway says about itself.
	Status(s *Session, st Status)
}

// Gateways is the GatewayService.
type Gateways struct {
	allmendev1.UnimplementedGatewayServiceServer
	community roll.CommunityID
	assets    atomic.Pointer[Assets]
	fleet     Fleet
	now       func() energy.Instant
	wall      func() time.Time
	receivers sync.WaitGroup
}

// NewGateways returns the service for a community; now is world time, wall is
// wall time, which certificates live by. Follow tells it the register before the
// first gateway calls.
func NewGateways(id roll.CommunityID, fleet Fleet, now func() energy.Instant, wall func() time.Time) *Gateways {
	return &Gateways{community: id, fleet: fleet, now: now, wall: wall}
}

// Follow makes assets the ones that gateways may speak for.
func (g *Gateways) Follow(assets Assets) { g.assets.Store(&assets) }

// Wait returns when no stream works any more; the server must have stopped.
func (g *Gateways) Wait() { g.receivers.Wait() }

// Times on the wall clock.
const (
	helloWithin = 10 * time.Second // a stream that says nothing ends
	// retryStore: how often a batch that could not be stored is tried again, and
	// the end of the certificate is looked at.
	retryStore = 5 * time.Second
)

// Enrol implements the service.
func (g *Gateways) Enrol(ctx context.Context, req *allmendev1.EnrolRequest) (*allmendev1.EnrolResponse, error) {
	const maxSecret = 200
	if n := len(req.GetTokenSecret()); n == 0 || n > maxSecret {
		return nil, status.Errorf(codes.InvalidArgument, "token_secret: %d characters, 1 to %d are expected: copy the whole token", n, maxSecret)
	}
	e, err := g.fleet.Enrol(ctx, req.GetTokenSecret(), req.GetCsrDer())
	if err != nil {
		return nil, toStatus(err)
	}
	return &allmendev1.EnrolResponse{
		GatewayId: string(e.Gateway), CommunityId: string(g.community),
		CertificateDer: [][]byte{e.CertificateDER}, AuthorityDer: e.AuthorityDER,
	}, nil
}

// Connect implements the service: one goroutine receives, this one sends.
func (g *Gateways) Connect(stream grpc.BidiStreamingServer[allmendev1.Uplink, allmendev1.Downlink]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	identity, err := g.identify(ctx)
	if err != nil {
		return toStatus(err)
	}
	up := make(chan received)
	g.receivers.Go(func() { receive(ctx, stream, up) })

	hello, err := firstHello(ctx, up)
	if err != nil {
		return toStatus(err)
	}
	s := NewSession(identity, hello)
	welcome, err := g.fleet.Attach(ctx, s)
	if err != nil {
		return toStatus(err)
	}
	err = g.converse(ctx, stream, s, welcome, up)
	g.fleet.Detach(s, err)
	return toStatus(err)
}

// received is one message, or the stream's end.
type received struct {
	msg *allmendev1.Uplink
	err error
}

func receive(ctx context.Context, stream grpc.BidiStreamingServer[allmendev1.Uplink, allmendev1.Downlink], up chan<- received) {
	for {
		msg, err := stream.Recv()
		select {
		case up <- received{msg, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func firstHello(ctx context.Context, up <-chan received) (Hello, error) {
	timer := time.NewTimer(helloWithin)
	defer timer.Stop()
	select {
	case r := <-up:
		if r.err != nil {
			return Hello{}, r.err
		}
		m, ok := r.msg.GetMessage().(*allmendev1.Uplink_Hello)
		if !ok {
			return Hello{}, refuse("message", "the first message is hello")
		}
		return decodeHello(m.Hello)
	case <-timer.C:
		return Hello{}, refuse("message", "no hello within %s", helloWithin)
	case <-ctx.Done():
		return Hello{}, ctx.Err()
	}
}

// converse answers until the stream ends. Messages are handled one after the
// other, so a gateway that sends faster than they are stored is slowed down by
// flow control, and nobody else is.
func (g *Gateways) converse(ctx context.Context, stream grpc.BidiStreamingServer[allmendev1.Uplink, allmendev1.Downlink], s *Session, w Welcome, up <-chan received) error {
	first := &allmendev1.Downlink{Message: &allmendev1.Downlink_Welcome{Welcome: &allmendev1.Welcome{
		CommunityId: string(g.community), AcknowledgedSequence: w.Acknowledged, Epoch: w.Epoch,
		RenewCertificateInMs: max(1, s.Renew.Sub(g.wall()).Milliseconds()),
	}}}
	if err := stream.Send(first); err != nil {
		return err
	}
	retry := time.NewTicker(retryStore)
	defer retry.Stop()
	for {
		if s.Ended() { // first: nothing more is taken from who was shut out
			return s.reason()
		}
		select {
		case r := <-up:
			if r.err != nil {
				return r.err
			}
			if err := g.handle(ctx, s, r.msg); err != nil {
				return err
			}
		case <-s.wake:
			for _, m := range s.take() {
				if err := stream.Send(m); err != nil {
					return err
				}
			}
		case <-retry.C:
			if !g.wall().Before(s.Ends) {
				return fmt.Errorf("%w on %s: renew it and connect anew", ErrExpired, s.Ends.UTC().Format(time.RFC3339))
			}
			if err := g.retryHeld(ctx, s); err != nil {
				return err
			}
		case <-s.done:
			return s.reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *Gateways) handle(ctx context.Context, s *Session, up *allmendev1.Uplink) error {
	assets := *g.assets.Load()
	switch m := up.GetMessage().(type) {
	case *allmendev1.Uplink_Live:
		b, err := DecodeLive(assets, s.Gateway, g.now(), m.Live)
		if err != nil {
			return err
		}
		return g.fleet.Live(ctx, s, b)
	case *allmendev1.Uplink_Meter:
		b, err := DecodeMeter(assets, s.Gateway, g.now(), m.Meter)
		if err != nil {
			return err
		}
		return g.meter(ctx, s, b)
	case *allmendev1.Uplink_ClockProbe:
		now := int64(g.now())
		s.replyClock(&allmendev1.ClockReply{SentUnixMs: m.ClockProbe.GetSentUnixMs(), ReceivedUnixMs: now, RepliedUnixMs: now})
		return nil
	case *allmendev1.Uplink_Status:
		st, err := decodeStatus(assets, s.Gateway, m.Status)
		if err != nil {
			return err
		}
		g.fleet.Status(s, st)
		return nil
	case *allmendev1.Uplink_Hello:
		return refuse("message", "hello comes once, first")
	}
	return refuse("message", "of no kind that this coordinator knows: update it")
}

// meter stores a batch and acknowledges what is durable. Where the disk is
// full, nothing is acknowledged, the stream stays open for the live lane, and
// the first batch is tried again; later ones are left to the spool.
func (g *Gateways) meter(ctx context.Context, s *Session, b MeterBatch) error {
	if b.SpoolID != s.Hello.SpoolID {
		return refuse("meter.spool_id", "%q, but hello said %q: connect anew with the new one", b.SpoolID, s.Hello.SpoolID)
	}
	if s.holding() != nil {
		return nil
	}
	durable, err := g.fleet.Meter(ctx, s, b)
	if errors.Is(err, ErrStorage) {
		s.hold(&b)
		return nil
	}
	if err != nil {
		return err
	}
	s.acknowledge(b.SpoolID, durable)
	return nil
}

// retryHeld tries the held batch again. When it works, the stream ends, so that
// the gateway connects anew and sends what was left out.
func (g *Gateways) retryHeld(ctx context.Context, s *Session) error {
	b := s.holding()
	if b == nil {
		return nil
	}
	if _, err := g.fleet.Meter(ctx, s, *b); errors.Is(err, ErrStorage) {
		return nil
	} else if err != nil {
		return err
	}
	return fmt.Errorf("%w: it works again: connect anew", ErrStorage)
}

// toStatus makes an answer on the wire of an error. What is not known here is
// internal, and is not told.
func toStatus(err error) error {
	code := codes.Internal
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, ErrInvalid):
		code = codes.InvalidArgument
	case errors.Is(err, ErrDenied):
		code = codes.PermissionDenied
	case errors.Is(err, ErrNotFound):
		code = codes.NotFound
	case errors.Is(err, ErrReplaced), errors.Is(err, ErrConflict):
		code = codes.Aborted
	case errors.Is(err, ErrClosing), errors.Is(err, ErrStorage):
		code = codes.Unavailable
	}
	if code == codes.Internal {
		if s, ok := status.FromError(err); ok {
			return s.Err()
		}
		return status.Error(code, "the coordinator could not do this; its log says why")
	}
	return withReason(status.New(code, err.Error()), err)
}
