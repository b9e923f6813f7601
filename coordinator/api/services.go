// SPDX-License-Identifier: AGPL-3.0-or-later

package api

import (
	"context"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/allmende-energy/allmende/coordinator/access"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// Service is one service of the coordinator, to be served to callers over the
// network, on the local socket, and as REST.
type Service struct {
	Desc *grpc.ServiceDesc
	Impl any
	// REST registers its paths with calls over conn; nil: it has none.
	REST func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error
}

// CommunityService is the service of pages and integrators.
func CommunityService(c *Community) Service {
	return Service{
		Desc: &allmendev1.CommunityService_ServiceDesc, Impl: c,
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterCommunityServiceHandlerClient(ctx, mux, allmendev1.NewCommunityServiceClient(conn))
		},
	}
}

// AccountService is the service of one's own account.
func AccountService(s allmendev1.AccountServiceServer) Service {
	return Service{
		Desc: &allmendev1.AccountService_ServiceDesc, Impl: s,
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterAccountServiceHandlerClient(ctx, mux, allmendev1.NewAccountServiceClient(conn))
		},
	}
}

// PeopleService is the service that looks after accounts.
func PeopleService(s allmendev1.PeopleServiceServer) Service {
	return Service{
		Desc: &allmendev1.PeopleService_ServiceDesc, Impl: s,
		REST: func(ctx context.Context, mux *runtime.ServeMux, conn grpc.ClientConnInterface) error {
			return allmendev1.RegisterPeopleServiceHandlerClient(ctx, mux, allmendev1.NewPeopleServiceClient(conn))
		},
	}
}

// inProcess calls services within the process, through the guard that callers
// over the network pass. So REST can't be let in where gRPC would not be.
//
// Of the caller's context it takes the principal alone. Metadata that
// grpc-gateway made of HTTP headers end here: no service sees them.
type inProcess struct {
	guard   *access.Guard
	methods map[string]method
}

type method struct {
	impl   any
	unary  func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error)
	stream *grpc.StreamDesc
}

func newInProcess(guard *access.Guard, services []Service) *inProcess {
	p := &inProcess{guard, map[string]method{}}
	for _, s := range services {
		for _, m := range s.Desc.Methods {
			p.methods["/"+s.Desc.ServiceName+"/"+m.MethodName] = method{impl: s.Impl, unary: m.Handler}
		}
		for _, m := range s.Desc.Streams {
			p.methods["/"+s.Desc.ServiceName+"/"+m.StreamName] = method{impl: s.Impl, stream: &m}
		}
	}
	return p
}

// Invoke implements [grpc.ClientConnInterface].
func (p *inProcess) Invoke(ctx context.Context, name string, args, reply any, _ ...grpc.CallOption) error {
	m, known := p.methods[name]
	if !known || m.unary == nil {
		return status.Errorf(codes.Unimplemented, "there is no method %s", name)
	}
	decode := func(into any) error { return hand(into, args) }
	answer, err := m.unary(m.impl, ctx, decode, p.guard.Unary)
	if err != nil {
		return err
	}
	return hand(reply, answer)
}

// hand copies one message into another of its kind.
func hand(into, from any) error {
	to, ok := into.(proto.Message)
	what, okToo := from.(proto.Message)
	if !ok || !okToo || to.ProtoReflect().Descriptor() != what.ProtoReflect().Descriptor() {
		return status.Errorf(codes.Internal, "a %T was expected and a %T came", into, from)
	}
	proto.Merge(to, what)
	return nil
}

// NewStream implements [grpc.ClientConnInterface] for streams that only the
// server sends on, which is what REST can show.
func (p *inProcess) NewStream(ctx context.Context, desc *grpc.StreamDesc, name string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	m, known := p.methods[name]
	if !known || m.stream == nil || desc.ClientStreams {
		return nil, status.Errorf(codes.Unimplemented, "there is no stream %s here", name)
	}
	ctx, cancel := context.WithCancel(ctx)
	both := newPipe(ctx)
	go func() {
		defer cancel()
		defer close(both.done)
		both.err = p.guard.Stream(m.impl, serverEnd{both}, &grpc.StreamServerInfo{FullMethod: name, IsServerStream: true}, m.stream.Handler)
	}()
	return clientEnd{both}, nil
}
