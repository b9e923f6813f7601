// SPDX-License-Identifier: AGPL-3.0-or-later

package uplink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/allmende-energy/allmende/gateway/guard"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// errRenewed: the spool has a new id, and the stream begins again with it.
var errRenewed = errors.New("the spool has a new id")

// Wall-clock bounds of a stream.
const (
	welcomeWithin = 15 * time.Second
	lookEvery     = time.Second
	maxRenewIn    = 10 * 365 * 24 * time.Hour
	maxMessage    = 1 << 20
)

// session is one stream. The sender's fields belong to its goroutine; mu guards
// what both directions touch.
type session struct {
	link   *Link
	stream allmendev1.GatewayService_ConnectClient
	id     string        // of the spool
	next   uint64        // sequence to send
	ended  chan struct{} // closed when nothing comes down any more
	// renewIn is when the certificate is due; 0: the coordinator does not say.
	renewIn time.Duration

	lastStatus time.Time
	lastProbe  time.Time
	suspect    *suspect // sent carefully and not confirmed

	mu        sync.Mutex
	acked     uint64
	heard     time.Time // the latest message down
	progress  time.Time // acknowledgements moved, or nothing waited for one
	probing   bool      // a probe is out; there is one at a time
	probeMark uint64    // the barrier that it stands for
}

// session runs one stream from dialling to its end. useful says that samples
// were acknowledged, or that it held for long.
func (l *Link) session(ctx context.Context) (useful bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, err := dial(l.cfg.Address, l.cfg.Identity.Identity().TLS(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}))
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }() // the stream's own end is what is reported
	slow := time.AfterFunc(welcomeWithin, func() { cancel(fmt.Errorf("no welcome within %s", welcomeWithin)) })
	defer slow.Stop()
	s, err := l.open(ctx, conn)
	if err != nil {
		return false, causeOf(ctx, err)
	}
	slow.Stop()

	l.setConnected(true)
	defer l.setConnected(false)
	begun, ackedBefore := time.Now(), s.acked
	if !l.announced {
		l.cfg.Log.Info("connected to the coordinator", "address", l.cfg.Address, "spool", s.id, "acknowledged", s.acked)
		l.announced = true
	}
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel(nil)
	work.Go(func() {
		cancel(s.receive())
		close(s.ended)
	})
	work.Go(func() { s.watch(ctx, cancel) })
	work.Go(func() { s.keepFresh(ctx, cancel, conn, s.renewIn) })
	err = causeOf(ctx, s.send(ctx))
	if isRefusal(err) {
		l.refused.blame(s.id, s.suspect, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked > ackedBefore || time.Since(begun) > l.bounds.Silence, err
}

// causeOf is why ctx ended, if it did: the first of the goroutines knows best.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// open says hello and follows the welcome.
func (l *Link) open(ctx context.Context, conn *grpc.ClientConn) (*session, error) {
	stream, err := allmendev1.NewGatewayServiceClient(conn).Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the stream: %w", err)
	}
	id, last, _ := l.cfg.Source.Position()
	hello := &allmendev1.Hello{Software: clip(l.cfg.Software), SpoolId: id, LastSequence: last, HighestEpoch: l.heard(0)}
	if err := stream.Send(&allmendev1.Uplink{Message: &allmendev1.Uplink_Hello{Hello: hello}}); err != nil {
		return nil, fmt.Errorf("saying hello: %w", receiveError(stream, err))
	}
	down, err := stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("waiting for the welcome: %w", err)
	}
	welcome := down.GetWelcome()
	if welcome == nil {
		return nil, fmt.Errorf("%w: its first message is no welcome", ErrProtocol)
	}
	if e := welcome.GetEpoch(); e > guard.MaxEpoch {
		return nil, fmt.Errorf("%w: its epoch is %d, no coordinator counts so far", ErrProtocol, e)
	}
	renewed, err := l.cfg.Source.Resume(id, welcome.GetAcknowledgedSequence())
	if err != nil {
		return nil, fmt.Errorf("resuming the spool: %w", err)
	}
	if renewed {
		return nil, errRenewed
	}
	l.resumed(id, welcome.GetAcknowledgedSequence())
	l.cfg.Commands.Fence(l.heard(welcome.GetEpoch()))
	now := time.Now()
	acked := welcome.GetAcknowledgedSequence()
	return &session{
		link: l, stream: stream, id: id, next: acked + 1, acked: acked, heard: now, progress: now, ended: make(chan struct{}),
		renewIn: time.Duration(min(welcome.GetRenewCertificateInMs(), maxRenewIn.Milliseconds())) * time.Millisecond,
	}, nil
}

// receiveError is the stream's own error, which a failed Send hides.
func receiveError(stream allmendev1.GatewayService_ConnectClient, err error) error {
	if _, recvErr := stream.Recv(); recvErr != nil {
		return recvErr
	}
	return err
}

func (l *Link) setConnected(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected = on
	if on {
		l.streams++
	}
	l.barrier.announce()
}

// receive takes what comes down until the stream ends.
func (s *session) receive() error {
	for {
		down, err := s.stream.Recv()
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		s.mu.Lock()
		s.heard = time.Now()
		s.mu.Unlock()
		switch m := down.GetMessage().(type) {
		case *allmendev1.Downlink_Ack:
			s.acknowledged(m.Ack)
		case *allmendev1.Downlink_Setpoints:
			setpoints, err := decodeSetpoints(m.Setpoints)
			if err != nil {
				return err
			}
			for _, sp := range setpoints {
				s.link.heard(sp.Epoch)
			}
			s.link.cfg.Commands.Setpoints(setpoints)
		case *allmendev1.Downlink_ClockReply:
			s.probed(m.ClockReply)
		case *allmendev1.Downlink_Welcome:
			return fmt.Errorf("%w: a second welcome", ErrProtocol)
		default: // of a newer coordinator
		}
	}
}

func (s *session) acknowledged(a *allmendev1.Ack) {
	if a.GetSpoolId() != s.id {
		return
	}
	s.link.cfg.Source.Acknowledge(s.id, a.GetSequence())
	s.mu.Lock()
	if a.GetSequence() > s.acked {
		s.acked, s.progress = a.GetSequence(), time.Now()
	}
	s.mu.Unlock()
	s.link.reached(s.id, a.GetSequence())
	s.link.notify()
}

func (s *session) probed(r *allmendev1.ClockReply) {
	s.mu.Lock()
	mark := s.probeMark
	s.probing = false
	s.mu.Unlock()
	s.link.clock.add(r, s.link.cfg.Now())
	s.link.answered(mark)
	s.link.notify()
}

// watch gives up a stream whose other side has gone silent or takes samples
// without ever acknowledging; a new one begins with what is durable there.
func (s *session) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	for sleep(ctx, lookEvery) {
		s.mu.Lock()
		heard, progress := time.Since(s.heard), time.Since(s.progress)
		s.mu.Unlock()
		switch silence := s.link.bounds.Silence; {
		case heard > silence:
			cancel(fmt.Errorf("no word from the coordinator for %s", silence))
			return
		case progress > 2*silence:
			cancel(fmt.Errorf("no acknowledgement for %s: is the coordinator's disk full?", 2*silence))
			return
		}
	}
}
