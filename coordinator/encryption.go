// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/allmende-energy/allmende/coordinator/api"
	"github.com/allmende-energy/allmende/internal/certs"
	"github.com/allmende-energy/allmende/internal/config"
)

// encryption is the certificates of the listeners that people and programs use.
// The gateways' listener has those of the community's own authority.
type encryption struct {
	http certs.Source // nil: not encrypted
	grpc certs.Source
	acme *certs.ACME // nil: none is needed
}

// openEncryption reads the certificates there are.
func openEncryption(ctx context.Context, cfg config.Serve, log *slog.Logger) (e encryption, err error) {
	source := func(name string, t config.TLS) (certs.Source, error) {
		switch {
		case t.Cert != "":
			files, err := certs.OpenFiles(t.Cert, t.Key)
			if err != nil {
				return nil, fmt.Errorf("%s.tls: %w", name, err)
			}
			return files, nil
		case t.ACME && e.acme == nil:
			e.acme, err = certs.OpenACME(ctx, certs.ACMEOptions{
				Domains: cfg.ACME.Domains, Email: cfg.ACME.Email, Directory: cfg.ACME.Directory, CAFile: cfg.ACME.CAFile,
				Storage: cfg.ACME.Storage, HTTPPort: cfg.ACME.HTTPPort, TLSPort: cfg.ACME.TLSPort, Log: log,
			})
			if err != nil {
				return nil, err
			}
			return e.acme, nil
		case t.ACME:
			return e.acme, nil
		}
		return nil, nil
	}
	if e.http, err = source("http", cfg.HTTP.TLS); err != nil {
		return e, err
	}
	e.grpc, err = source("grpc", cfg.GRPC.TLS)
	return e, err
}

// close is for certificates that were opened and never kept.
func (e encryption) close() {
	if e.acme != nil {
		e.acme.Close()
	}
}

// sources are the certificates by what their problems are called.
func (e encryption) sources() map[string]certs.Source {
	out := map[string]certs.Source{}
	if e.http != nil {
		out["http certificate"] = e.http
	}
	if e.grpc != nil && e.grpc != e.http {
		out["grpc certificate"] = e.grpc
	}
	return out
}

// grpcOptions encrypt the listener for programs.
func (e encryption) grpcOptions() []grpc.ServerOption {
	if e.grpc == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(credentials.NewTLS(e.grpc.Config()))}
}

// forPrograms is the gRPC listener; unencrypted it is for this computer and for
// proxies alone.
func (c *Coordinator) forPrograms(l net.Listener) net.Listener {
	if c.encryption.grpc != nil || len(c.cfg.GRPC.Proxies) == 0 {
		return l
	}
	return only{l, c.cfg.GRPC.Proxies, c.log}
}

// keepCertificates keeps the certificates good until ctx ends.
func (c *Coordinator) keepCertificates(ctx context.Context) {
	for name, source := range c.encryption.sources() {
		c.working.Go(func() {
			source.Run(ctx, func(err error) {
				if err != nil {
					c.problems.warn(name, err.Error())
					return
				}
				c.problems.clear(name)
			})
		})
	}
}

// Reload looks at once for certificates that were replaced.
func (c *Coordinator) Reload() {
	for _, source := range c.encryption.sources() {
		source.Reload()
	}
}

// redirect serves plain HTTP: an authority's questions, and the way to TLS.
func (c *Coordinator) redirect(l net.Listener) server {
	_, port, _ := net.SplitHostPort(c.addresses.HTTP) // it is bound to it
	handler := api.Redirect(c.webNames(), port)
	if c.encryption.acme != nil {
		handler = c.encryption.acme.Challenges(handler)
	}
	return web(l, handler, nil, c.log)
}

// only lets callers speak to a listener who come from this computer or from a
// proxy that encrypts for it. Others find the line cut: whatever they sent
// unencrypted is better not answered.
type only struct {
	net.Listener
	proxies []netip.Prefix
	log     *slog.Logger
}

// Accept waits for a caller who may.
func (o only) Accept() (net.Conn, error) {
	for {
		conn, err := o.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		addr := from.Addr().Unmap()
		if err == nil && (addr.IsLoopback() || slices.ContainsFunc(o.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })) {
			return conn, nil
		}
		o.log.Warn("a caller came past the proxy, unencrypted, and was sent away", "from", addr)
		conn.Close()
	}
}

// serveHTTP serves until the server is stopped, which is no error.
func serveHTTP(s *http.Server) func(net.Listener) error {
	return func(l net.Listener) (err error) {
		if s.TLSConfig != nil {
			err = s.ServeTLS(l, "", "")
		} else {
			err = s.Serve(l)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}
