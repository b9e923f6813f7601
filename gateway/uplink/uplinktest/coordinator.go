// SPDX-License-Identifier: AGPL-3.0-or-later

// Package uplinktest is a coordinator for tests of gateways: a real gRPC server
// over mutual TLS with an inbox in memory, which can be killed, restarted, made
// to hold its acknowledgements back, or to forget.
package uplinktest

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Coordinator is the server. Its exported fields are read only after Start.
type Coordinator struct {
	allmendev1.UnimplementedGatewayServiceServer
	Address string
	// Clock answers probes; nil: probes are not answered.
	Clock func() energy.Instant
	Epoch uint64
	// Life is how long gateways' certificates live; 0: a day.
	Life time.Duration
	// RenewIn is told with each welcome; 0: nothing is told.
	RenewIn time.Duration
	// KeepRenewing: it goes on to be told also after a renewal.
	KeepRenewing bool
	// Refuse names assets whose values end the stream; nil: none.
	Refuse func(asset string) bool

	authority *authority
	server    tls.Certificate

	mu        sync.Mutex
	changed   chan struct{}
	running   *grpc.Server
	ended     chan struct{}
	inbox     map[string][]meters.Sample // by spool id, from sequence 1
	delivered int                        // samples that came, duplicates included
	gaps      int                        // batches that did not join on
	live      []*allmendev1.LiveBatch
	status    *allmendev1.GatewayStatus
	hello     []*allmendev1.Hello
	streams   int
	mute      bool
	tokens    map[string]string
	lost      int      // answers to renewals that still get lost
	renewals  []string // hashes of the keys that asked for one
	down      chan *allmendev1.Downlink
}

// New returns a coordinator that is not yet started.
func New(tb testing.TB) *Coordinator {
	tb.Helper()
	return NewAhead(tb, 0)
}

// NewAhead returns one whose clock is ahead of this computer's.
func NewAhead(tb testing.TB, ahead time.Duration) *Coordinator {
	tb.Helper()
	c := &Coordinator{
		authority: newAuthority(tb, ahead), inbox: map[string][]meters.Sample{}, tokens: map[string]string{},
		changed: make(chan struct{}), down: make(chan *allmendev1.Downlink, 100), Epoch: 1,
	}
	c.server = c.authority.server(tb)
	tb.Cleanup(c.Kill)
	return c
}

// Start listens; after a Kill, on the same address as before.
func (c *Coordinator) Start(tb testing.TB) {
	tb.Helper()
	listener, err := c.listen()
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c.authority.cert)
	server := grpc.NewServer(grpc.WaitForHandlers(true), grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.server},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, Time: c.authority.now,
	})))
	allmendev1.RegisterGatewayServiceServer(server, c)
	c.mu.Lock()
	c.Address, c.running = listener.Addr().String(), server
	ended := make(chan struct{})
	c.ended = ended
	c.mu.Unlock()
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends with Kill
	}()
}

// listen takes the address of before. The first one is below the ports that
// systems give to outgoing connections, so that none of those sits on it when
// the coordinator comes back.
func (c *Coordinator) listen() (net.Listener, error) {
	if c.Address != "" {
		return net.Listen("tcp", c.Address)
	}
	const attempts, first, span = 50, 20_000, 10_000
	var err error
	for range attempts {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(span))); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// Kill drops everything but what is durable: the inbox. When it returns, nothing
// of the streams is under way any more.
func (c *Coordinator) Kill() {
	c.mu.Lock()
	server, ended := c.running, c.ended
	c.running = nil
	c.mu.Unlock()
	if server != nil {
		server.Stop()
		<-ended // the port is free again
	}
}

// Command sends setpoints down the open stream.
func (c *Coordinator) Command(setpoints ...*allmendev1.Setpoint) {
	c.down <- &allmendev1.Downlink{Message: &allmendev1.Downlink_Setpoints{Setpoints: &allmendev1.SetpointBatch{Setpoints: setpoints}}}
}

// Mute stores samples but acknowledges none, and answers no probe.
func (c *Coordinator) Mute(on bool) { c.change(func() { c.mute = on }) }

// Forget cuts an inbox back, as a restored backup does.
func (c *Coordinator) Forget(spoolID string, last int) {
	c.change(func() { c.inbox[spoolID] = c.inbox[spoolID][:last] })
}

// Pretend makes an inbox longer than what was sent.
func (c *Coordinator) Pretend(spoolID string, more int) {
	c.change(func() { c.inbox[spoolID] = append(c.inbox[spoolID], make([]meters.Sample, more)...) })
}

// View is what a coordinator has seen so far.
type View struct {
	Inbox     map[string][]meters.Sample
	Delivered int
	Gaps      int
	Live      []*allmendev1.LiveBatch
	Status    *allmendev1.GatewayStatus
	Hello     []*allmendev1.Hello
	Streams   int      // open ones
	Renewals  []string // hashes of the keys that asked for one
}

// Wait blocks until what the coordinator has seen satisfies ok.
func (c *Coordinator) Wait(ctx context.Context, tb testing.TB, what string, ok func(View) bool) View {
	tb.Helper()
	for {
		c.mu.Lock()
		v := View{map[string][]meters.Sample{}, c.delivered, c.gaps, append([]*allmendev1.LiveBatch(nil), c.live...), c.status, c.hello, c.streams, append([]string(nil), c.renewals...)}
		for id, samples := range c.inbox {
			v.Inbox[id] = append([]meters.Sample(nil), samples...)
		}
		changed := c.changed
		c.mu.Unlock()
		if ok(v) {
			return v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			tb.Fatalf("%s: never came; delivered %d, gaps %d, streams %d", what, v.Delivered, v.Gaps, v.Streams)
		}
	}
}

func (c *Coordinator) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Enrol signs a request if its token is good.
func (c *Coordinator) Enrol(_ context.Context, r *allmendev1.EnrolRequest) (*allmendev1.EnrolResponse, error) {
	c.mu.Lock()
	gateway, ok := c.tokens[r.GetTokenSecret()]
	delete(c.tokens, r.GetTokenSecret())
	c.mu.Unlock()
	if !ok {
		return nil, status.Error(codes.PermissionDenied, "unknown or used token")
	}
	request, err := x509.ParseCertificateRequest(r.GetCsrDer())
	if err != nil || request.CheckSignature() != nil {
		return nil, status.Error(codes.InvalidArgument, "bad request")
	}
	pub, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "not ECDSA")
	}
	der, err := c.authority.gateway(gateway, pub, c.Life)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &allmendev1.EnrolResponse{
		GatewayId: gateway, CommunityId: Community, CertificateDer: [][]byte{der}, AuthorityDer: c.authority.cert.Raw,
	}, nil
}

// LoseRenewals makes the next answers to renewals get lost.
func (c *Coordinator) LoseRenewals(n int) { c.change(func() { c.lost = n }) }

// Renew signs a request for whom the connection's certificate names.
func (c *Coordinator) Renew(ctx context.Context, r *allmendev1.RenewRequest) (*allmendev1.RenewResponse, error) {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Internal, "no peer")
	}
	request, err := x509.ParseCertificateRequest(r.GetCsrDer())
	if err != nil || request.CheckSignature() != nil {
		return nil, status.Error(codes.InvalidArgument, "bad request")
	}
	pub, ok := request.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "not ECDSA")
	}
	info, _ := from.AuthInfo.(credentials.TLSInfo)
	gateway := strings.TrimPrefix(info.State.PeerCertificates[0].URIs[0].Path, "/gateway/")
	der, err := c.authority.gateway(gateway, pub, c.Life)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	lost := false
	c.change(func() {
		sum := sha256.Sum256(request.RawSubjectPublicKeyInfo)
		c.renewals = append(c.renewals, hex.EncodeToString(sum[:]))
		if lost = c.lost > 0; lost {
			c.lost--
		} else if !c.KeepRenewing {
			c.RenewIn = 0
		}
	})
	if lost {
		return nil, status.Error(codes.Unavailable, "the answer was lost")
	}
	return &allmendev1.RenewResponse{CertificateDer: [][]byte{der}, AuthorityDer: [][]byte{c.authority.cert.Raw}}, nil
}

// Connect serves one stream.
func (c *Coordinator) Connect(stream allmendev1.GatewayService_ConnectServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "no hello")
	}
	var acked int
	c.change(func() {
		c.hello = append(c.hello, hello)
		c.streams++
		c.status = nil // who waits for a stream and its status waits for those of one gateway
		acked = len(c.inbox[hello.GetSpoolId()])
	})
	defer c.change(func() { c.streams-- })
	c.mu.Lock()
	renewIn := c.RenewIn
	c.mu.Unlock()
	welcome := &allmendev1.Welcome{CommunityId: Community, AcknowledgedSequence: uint64(acked), Epoch: c.Epoch, RenewCertificateInMs: renewIn.Milliseconds()}
	if err := stream.Send(&allmendev1.Downlink{Message: &allmendev1.Downlink_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	replies := make(chan *allmendev1.Downlink, 1000)
	ended := make(chan error, 1)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() { ended <- c.receive(ctx, stream, replies) })
	for {
		var m *allmendev1.Downlink
		select {
		case m = <-replies:
		case m = <-c.down:
		case err := <-ended:
			return err
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}

func (c *Coordinator) receive(ctx context.Context, stream allmendev1.GatewayService_ConnectServer, replies chan<- *allmendev1.Downlink) error {
	reply := func(m *allmendev1.Downlink) {
		select {
		case replies <- m:
		case <-ctx.Done():
		}
	}
	for {
		up, err := stream.Recv()
		if err != nil {
			return err
		}
		if c.refuses(up) {
			return status.Error(codes.InvalidArgument, "not an asset of this gateway")
		}
		switch m := up.GetMessage().(type) {
		case *allmendev1.Uplink_Meter:
			if ack := c.store(m.Meter); ack != nil {
				reply(&allmendev1.Downlink{Message: &allmendev1.Downlink_Ack{Ack: ack}})
			}
		case *allmendev1.Uplink_Live:
			c.change(func() { c.live = append(c.live, m.Live) })
		case *allmendev1.Uplink_Status:
			c.change(func() { c.status = m.Status })
		case *allmendev1.Uplink_ClockProbe:
			c.mu.Lock()
			answer := c.Clock != nil && !c.mute
			c.mu.Unlock()
			if answer {
				now := int64(c.Clock())
				reply(&allmendev1.Downlink{Message: &allmendev1.Downlink_ClockReply{ClockReply: &allmendev1.ClockReply{
					SentUnixMs: m.ClockProbe.GetSentUnixMs(), ReceivedUnixMs: now, RepliedUnixMs: now,
				}}})
			}
		}
	}
}

func (c *Coordinator) refuses(up *allmendev1.Uplink) bool {
	if c.Refuse == nil {
		return false
	}
	for _, s := range up.GetMeter().GetSamples() {
		if c.Refuse(s.GetAssetId()) {
			return true
		}
	}
	for _, r := range up.GetLive().GetReadings() {
		if c.Refuse(r.GetAssetId()) {
			return true
		}
	}
	return false
}

func (c *Coordinator) store(b *allmendev1.MeterBatch) (ack *allmendev1.Ack) {
	c.change(func() {
		have := c.inbox[b.GetSpoolId()]
		c.delivered += len(b.GetSamples())
		for i, s := range b.GetSamples() {
			seq := b.GetFirstSequence() + uint64(i)
			if seq == uint64(len(have))+1 {
				have = append(have, Sample(s))
			} else if seq > uint64(len(have)) {
				c.gaps++
			}
		}
		c.inbox[b.GetSpoolId()] = have
		if !c.mute {
			ack = &allmendev1.Ack{SpoolId: b.GetSpoolId(), Sequence: uint64(len(have))}
		}
	})
	return ack
}

// Sample translates a sample back.
func Sample(s *allmendev1.MeterSample) meters.Sample {
	return meters.Sample{
		Key: meters.Key{Asset: roll.AssetID(s.GetAssetId()), Register: meters.Register(s.GetRegister())},
		At:  energy.Instant(s.GetAtUnixMs()), Value: energy.Energy(s.GetValueMilliwattHours()),
		Quality: energy.Quality(s.GetQuality()), Reset: s.GetReset_(), SoC: int64(s.GetSocPermille()),
	}
}
