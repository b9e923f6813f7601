// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// ErrUnknown: the token or session is nobody's, or no longer good.
var ErrUnknown = errors.New("not signed in, or no longer")

// Event is something for the audit log: a call that was refused, or one that
// changes something.
type Event struct {
	Who     Principal
	From    Caller
	Act     string // the method or route
	Object  string // what it was about, by its ids
	Outcome Outcome
	Why     string // of what was not done
}

// Outcome is how an act ended.
type Outcome string

// Outcomes.
const (
	Done   Outcome = "done"
	Denied Outcome = "denied"
	Failed Outcome = "failed"
)

// Recorder keeps the audit log. Record never waits for long and never fails the
// call: what cannot be kept is counted by the recorder.
type Recorder interface {
	Record(ctx context.Context, e Event)
}

// Bearers knows whose a token is.
type Bearers interface {
	// Bearer names the principal of a token, with what the policy grants it.
	// The error wraps [ErrUnknown] where the token is nobody's.
	Bearer(ctx context.Context, token string) (Principal, error)
}

// Guard decides by method. Its fields are set before it is used.
type Guard struct {
	Policy    *Policy
	Anonymous Principal // who a caller without a sign is
	Bearers   Bearers   // nil: no token is known
	Recorder  Recorder  // nil: nothing is kept

	open streams
}

// Network are the options of a gRPC server whose callers come over the network
// and may show a token.
func (g *Guard) Network() []grpc.ServerOption {
	identify := func(ctx context.Context) (context.Context, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		who, err := g.Identify(ctx, md.Get("authorization"))
		return With(ctx, who), err
	}
	return g.options(identify)
}

// Socket are the options of a gRPC server on the local socket, which only the
// operator can open.
func (g *Guard) Socket() []grpc.ServerOption {
	local := g.Policy.Local()
	return g.options(func(ctx context.Context) (context.Context, error) { return With(ctx, local), nil })
}

func (g *Guard) options(identify func(context.Context) (context.Context, error)) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			ctx, err := identify(ctx)
			if err != nil {
				return nil, g.unknown(ctx, info.FullMethod, err)
			}
			return g.Unary(ctx, req, info, handler)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			ctx, err := identify(stream.Context())
			if err != nil {
				return g.unknown(ctx, info.FullMethod, err)
			}
			return g.Stream(srv, identified{stream, ctx}, info, handler)
		}),
	}
}

// identified is a stream whose context knows the caller.
type identified struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream is asked for its context
}

func (s identified) Context() context.Context { return s.ctx }

// Identify names the caller by the values of its Authorization header. None
// means nobody; one that is not good is an error, never nobody.
func (g *Guard) Identify(ctx context.Context, authorization []string) (Principal, error) {
	if len(authorization) == 0 {
		return g.Anonymous, nil
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if len(authorization) > 1 || !strings.EqualFold(scheme, "Bearer") || g.Bearers == nil {
		return Principal{Kind: None}, fmt.Errorf("%w: send one header \"Authorization: Bearer TOKEN\"", ErrUnknown)
	}
	who, err := g.Bearers.Bearer(ctx, strings.TrimSpace(token))
	if err != nil {
		return Principal{Kind: None}, err
	}
	return who, nil
}

// unknown refuses a caller whose token is not good.
func (g *Guard) unknown(ctx context.Context, act string, err error) error {
	if !errors.Is(err, ErrUnknown) {
		return status.Error(codes.Internal, "the coordinator could not look up who you are; its log says why")
	}
	g.record(ctx, act, "", Denied, err.Error())
	return status.Error(codes.Unauthenticated, err.Error())
}

// Unary decides about a call whose context knows the caller.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	row, err := g.decide(ctx, info.FullMethod, req)
	if err != nil {
		return nil, err
	}
	answer, err := handler(ctx, req)
	g.after(ctx, row, info.FullMethod, req, err)
	return answer, err
}

// Stream decides about a stream whose context knows the caller.
func (g *Guard) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	row, err := g.decide(stream.Context(), info.FullMethod, nil)
	if err != nil {
		return err
	}
	ctx, release := g.open.hold(stream.Context())
	defer release()
	err = handler(srv, identified{stream, ctx})
	if errors.Is(context.Cause(ctx), errEnded) {
		err = status.Error(codes.Unauthenticated, errEnded.Error())
	}
	g.after(ctx, row, info.FullMethod, nil, err)
	return err
}

// End ends the streams of a principal, by its id: it may no longer what it
// might, or its session or token is over.
func (g *Guard) End(id string) { g.open.end(id) }

func (g *Guard) decide(ctx context.Context, method string, req any) (MethodRow, error) {
	row, known := g.Policy.Method(method)
	if !known {
		// Nobody decided about it yet, so nobody may.
		g.record(ctx, method, "", Denied, "the policy has no row for it")
		return row, status.Error(codes.PermissionDenied, "nobody may do this: the access policy does not know it")
	}
	who := From(ctx)
	if who.May(row.Needs) {
		return row, nil
	}
	return row, g.refuse(ctx, who, method, objectOf(req), row.Needs)
}

// refuse says what is missing: a sign-in, or a permission.
func (g *Guard) refuse(ctx context.Context, who Principal, act, object string, needs Permission) error {
	g.record(ctx, act, object, Denied, "needs "+string(needs))
	if who.Kind == None {
		return status.Error(codes.Unauthenticated, "sign in first, or send a token in the Authorization header")
	}
	return status.Errorf(codes.PermissionDenied, "your account may not do this (it needs %q): ask a steward for a role that may, see docs/access.md", needs)
}

// after records what was done, or refused by the service itself.
func (g *Guard) after(ctx context.Context, row MethodRow, method string, req any, err error) {
	switch code := status.Code(err); {
	case code == codes.PermissionDenied || code == codes.Unauthenticated:
		g.record(ctx, method, objectOf(req), Denied, status.Convert(err).Message())
	case !row.Recorded && !g.Policy.Changes(row.Needs):
	case err != nil:
		g.record(ctx, method, objectOf(req), Failed, status.Convert(err).Message())
	default:
		g.record(ctx, method, objectOf(req), Done, "")
	}
}

func (g *Guard) record(ctx context.Context, act, object string, outcome Outcome, why string) {
	if g.Recorder != nil {
		g.Recorder.Record(ctx, Event{From(ctx), CallerOf(ctx), act, object, outcome, why})
	}
}

// Route wraps what serves a path of the web listener that is no method. The
// request's context must know the caller.
func (g *Guard) Route(route string, next http.HandlerFunc) http.Handler {
	row, known := g.Policy.routes[route]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if known && From(ctx).May(row.Needs) {
			ctx, release := g.open.hold(ctx)
			defer release()
			next(w, r.WithContext(ctx))
			return
		}
		Refuse(w, g.refuse(ctx, From(ctx), route, "", row.Needs))
	})
}
