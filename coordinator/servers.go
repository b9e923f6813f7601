// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/internal/certs"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Bounds of the listeners, on the wall clock where they are times.
const (
	maxMessage      = 4 << 20
	maxStreams      = 100 // at a time, on one connection
	maxHeader       = 16 << 10
	handshakeWithin = 10 * time.Second
	readWithin      = 15 * time.Second
	answerWithin    = 30 * time.Second
	idleFor         = 2 * time.Minute
	stopWithin      = 3 * time.Second
)

// server is one listener at work.
type server struct {
	listener net.Listener
	serve    func(net.Listener) error
	stop     func()
}

func grpcOptions(more ...grpc.ServerOption) []grpc.ServerOption {
	return append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(handshakeWithin),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 15 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}, more...)
}

// integrators serves the services of people and programs, with reflection and
// health, to callers that the guard lets in.
func integrators(l net.Listener, services []api.Service, guard []grpc.ServerOption) server {
	s, state := newIntegrators(services, guard)
	return server{l, serveGRPC(s), func() {
		state.Shutdown()
		stopGRPC(s)
	}}
}

func newIntegrators(services []api.Service, guard []grpc.ServerOption) (*grpc.Server, *health.Server) {
	s, state := grpc.NewServer(grpcOptions(guard...)...), health.NewServer()
	healthv1.RegisterHealthServer(s, state)
	state.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	for _, service := range services {
		s.RegisterService(service.Desc, service.Impl)
		state.SetServingStatus(service.Desc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	}
	reflection.Register(s)
	return s, state
}

// gatewayServer serves the GatewayService over mutual TLS, through a door.
func gatewayServer(l net.Listener, d *door, gateways *api.Gateways, more ...grpc.ServerOption) server {
	s := grpc.NewServer(grpcOptions(append(more, grpc.Creds(d))...)...)
	allmendev1.RegisterGatewayServiceServer(s, gateways)
	return server{l, serveGRPC(s), func() {
		stopGRPC(s)
		gateways.Wait()
	}}
}

// serveGRPC serves until the server is stopped, which is no error.
func serveGRPC(s *grpc.Server) func(net.Listener) error {
	return func(l net.Listener) error {
		if err := s.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	}
}

// stopGRPC lets answers under way end, but not for long.
func stopGRPC(s *grpc.Server) {
	timer := time.AfterFunc(stopWithin, s.Stop)
	defer timer.Stop()
	s.GracefulStop()
}

// web serves page, REST and events,
// encrypted by a certificate if it has one.
func web(l net.Listener, handler http.Handler, certificate certs.Source, log *slog.Logger) server {
	s := &http.Server{
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		Handler:           handler,
		ReadHeaderTimeout: handshakeWithin,
		ReadTimeout:       readWithin,
		WriteTimeout:      answerWithin, // event streams set their own
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if certificate != nil {
		s.TLSConfig = certificate.Config()
	}
	return server{l, serveHTTP(s), func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			s.Close() //nolint:errcheck // it is the end either way
		}
	}}
}
