// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/internal/adminsocket"
	"github.com/allmende-energy/allmende/internal/config"
)

// where says which running coordinator a command speaks to. Every command that
// administers embeds it.
type where struct {
	Dir    string `xor:"where" type:"existingdir" placeholder:"DIR" help:"The community's folder, on the coordinator's own computer; the working directory unless --server is given."`
	Server string `xor:"where" placeholder:"URL" help:"A coordinator elsewhere: the address of its page, such as https://sun.example.org."`
	Token  string `env:"ALLMENDE_TOKEN" placeholder:"TOKEN" help:"With --server: an access token (allmende token create). Better given as ALLMENDE_TOKEN, which other users don't see."`
}

// connection reaches a coordinator's services. Its errors say what to do.
type connection struct {
	grpc.ClientConnInterface
	close func() error
}

// Close ends it.
func (c *connection) Close() error { return c.close() }

// connect opens the coordinator's admin socket, or its page's address with a token.
func (w *where) connect(ctx context.Context) (*connection, error) {
	if w.Server != "" {
		return w.remote()
	}
	if w.Token != "" && os.Getenv("ALLMENDE_TOKEN") == "" {
		return nil, errors.New("--token goes with --server: on the coordinator's own computer --dir needs none")
	}
	return w.local(ctx)
}

func (w *where) local(ctx context.Context) (*connection, error) {
	dir := w.Dir
	if dir == "" {
		dir = "."
		if _, err := os.Stat(filepath.Join(dir, config.ServeFile)); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no %s here: name the community's folder with --dir DIR, or a coordinator elsewhere with --server URL", config.ServeFile)
		}
	}
	serve, err := config.LoadServe(dir)
	if err != nil {
		return nil, err
	}
	data := serve.Data
	// Tried once before, for an error that gRPC would wrap beyond recognition.
	probe, err := adminsocket.Dial(ctx, data)
	if errors.Is(err, adminsocket.ErrNotRunning) {
		return nil, fmt.Errorf("%w: start it with: allmende serve --dir %s", err, dir)
	}
	if err != nil {
		return nil, err
	}
	probe.Close()
	conn, err := grpc.NewClient("passthrough:///coordinator",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the file's mode says who may
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return adminsocket.Dial(ctx, data) }),
		grpc.WithUnaryInterceptor(plainErrors))
	if err != nil {
		return nil, fmt.Errorf("the coordinator's admin socket: %w", err)
	}
	return &connection{conn, conn.Close}, nil
}

func (w *where) remote() (*connection, error) {
	u, err := url.Parse(w.Server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("--server %q is no address: write that of the coordinator's page, such as https://sun.example.org or http://%s", w.Server, config.DefaultHTTP)
	}
	if host := u.Hostname(); u.Scheme == "http" && w.Token != "" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("--server %q would send the token unprotected: write https, or ask on that computer itself", w.Server)
	}
	return &connection{newREST(strings.TrimRight(w.Server, "/"), w.Token), func() error { return nil }}, nil
}

// plainErrors makes of a refusal what a person reads: its message without gRPC's wrapping.
func plainErrors(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return refusal(invoke(ctx, method, req, reply, cc, opts...))
}

// refused is a coordinator's refusal: the message for people, the status for programs.
type refused struct{ s *status.Status }

// Error is the message alone.
func (r refused) Error() string { return r.s.Message() }

// GRPCStatus makes status.Code work.
func (r refused) GRPCStatus() *status.Status { return r.s }

func refusal(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case s.Code() == codes.Unimplemented:
		return fmt.Errorf("the coordinator does not know this (%s): is it of the same version? See: allmende version", s.Message())
	case s.Message() == "":
		return fmt.Errorf("the coordinator answers %s", s.Code())
	}
	return refused{s}
}
