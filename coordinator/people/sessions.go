// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
)

// Times of a session.
const (
	sessionLife = 30 * 24 * time.Hour // whatever happens
	sessionIdle = 7 * 24 * time.Hour  // without a call
	touchEvery  = 10 * time.Minute    // the use of a session is noted
	freshFor    = 15 * time.Minute    // since the sign-in: nobody else sits there yet
)

// Values of a session.
const (
	keyPerson     = "person"
	keyGeneration = "generation"
	keySignedIn   = "signed_in" // Unix seconds
)

// web is what the web listener knows of a call and gRPC does not.
type web struct {
	manager *scs.SessionManager
	host    string // that the browser asked for, without port
	origins []string
	signer  string // whose session is made
}

type webKey struct{}

// webOf is nil for calls that come over gRPC.
func webOf(ctx context.Context) *web {
	w, _ := ctx.Value(webKey{}).(*web)
	return w
}

// onWeb refuses what needs a cookie to callers that can't have one.
func onWeb(ctx context.Context) (*web, error) {
	if w := webOf(ctx); w != nil {
		return w, nil
	}
	return nil, status.Error(codes.FailedPrecondition, "this works in a browser or over REST with cookies, not over gRPC and not with a token")
}

func (p *People) sessions(secure bool) *scs.SessionManager {
	// Not scs.New: that begins with a store in memory and a goroutine that
	// sweeps it, which can't be stopped without a race.
	m := &scs.SessionManager{
		Store: &sessionStore{p}, HashTokenInStore: true, Codec: scs.GobCodec{}, Lifetime: sessionLife,
		Cookie: scs.SessionCookie{Name: "allmende_session", Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Persist: true},
	}
	if secure {
		// A browser takes a cookie of this name over TLS alone, and from this very host.
		m.Cookie.Name, m.Cookie.Secure = "__Host-"+m.Cookie.Name, true
	}
	m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		p.log.Error("a session could not be kept", "error", err)
		http.Error(w, "your session can't be read or kept now: try again in a moment", http.StatusServiceUnavailable)
	}
	return m
}

// Sessions puts whoever a session's cookie names into the context of requests
// to the API that nobody else is named by.
func (p *People) Sessions(next http.Handler) http.Handler {
	inner := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		who, known, err := p.signedIn(ctx)
		if err != nil {
			access.Refuse(rw, p.answer("looking up a session", err))
			return
		}
		if known {
			ctx = access.With(ctx, who)
		}
		next.ServeHTTP(rw, r.WithContext(ctx))
	})
	plain, secure := p.plain.LoadAndSave(inner), p.secure.LoadAndSave(inner)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") || r.Header.Get("Authorization") != "" {
			next.ServeHTTP(rw, r)
			return
		}
		tls := p.cfg.Secure || r.TLS != nil || r.URL.Scheme == "https" // the last where a trusted proxy says so
		w := &web{manager: p.plain, host: hostOf(r.Host), origins: originsOf(r.Host, tls)}
		manager := plain
		if tls {
			w.manager, manager = p.secure, secure
		}
		manager.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), webKey{}, w)))
	})
}

func hostOf(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// originsOf are the addresses that a browser may say it is at. It sends no
// passkeys without TLS but on its own computer.
func originsOf(hostport string, tls bool) []string {
	out := []string{"https://" + strings.ToLower(hostport)}
	if host := hostOf(hostport); !tls && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
		out = append(out, "http://"+strings.ToLower(hostport))
	}
	return out
}

// signedIn is the principal of the session's cookie. A session of an account
// that is gone, disabled, or signed out everywhere, is ended.
func (p *People) signedIn(ctx context.Context) (access.Principal, bool, error) {
	m := webOf(ctx).manager
	id := m.GetString(ctx, keyPerson)
	if id == "" {
		return access.Principal{}, false, nil
	}
	a, err := p.store.PersonByID(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNoPerson) {
		return access.Principal{}, false, err
	}
	if err != nil || !a.Disabled.IsZero() || a.Generation != m.GetInt64(ctx, keyGeneration) {
		return access.Principal{}, false, m.Destroy(ctx)
	}
	who := p.principal(a)
	who.Ends = m.Deadline(ctx)
	return who, true, nil
}

// begin signs an account in: with a new session token, so that one which
// somebody slipped in before is worth nothing.
func (p *People) begin(ctx context.Context, w *web, a store.Person) error {
	w.signer = a.ID
	p.counted.signedIn.Add(1)
	m := w.manager
	if err := m.RenewToken(ctx); err != nil {
		return err
	}
	for _, key := range m.Keys(ctx) {
		m.Remove(ctx, key)
	}
	m.SetDeadline(ctx, p.now().Add(sessionLife).UTC())
	m.Put(ctx, keyPerson, a.ID)
	m.Put(ctx, keyGeneration, a.Generation)
	m.Put(ctx, keySignedIn, p.now().Unix())
	return p.store.ChangePerson(ctx, a.ID, func(a *store.Person, _ []store.Person) error {
		a.SignedIn = p.now()
		return nil
	})
}

// own is the account of the session, with what it holds.
func (p *People) own(ctx context.Context) (store.Person, *web, error) {
	w, err := onWeb(ctx)
	if err != nil {
		return store.Person{}, nil, err
	}
	a, err := p.store.PersonByID(ctx, access.From(ctx).ID)
	return a, w, p.answer("reading an account", err)
}

// sure is own, for what would let somebody keep an account that sat down at
// another's screen: the sign-in was just now, or she knows the password.
func (p *People) sure(ctx context.Context, password string) (store.Person, *web, error) {
	a, w, err := p.own(ctx)
	if err != nil {
		return a, w, err
	}
	since := p.now().Sub(time.Unix(w.manager.GetInt64(ctx, keySignedIn), 0))
	if since < freshFor {
		return a, w, nil
	}
	if password == "" {
		return a, w, status.Error(codes.FailedPrecondition, "your sign-in was a while ago: give your present password, or sign in again first")
	}
	network := access.CallerOf(ctx).Network()
	if d := p.limits.try(a.Login, network); d > 0 {
		return a, w, p.wait(d)
	}
	ok, _, err := p.hasher.check(ctx, password, a.Password)
	if err != nil {
		return a, w, p.answer("checking a password", err)
	}
	if !ok {
		return a, w, status.Error(codes.PermissionDenied, "the present password is another")
	}
	p.limits.succeeded(a.Login, network)
	return a, w, nil
}

// sessionStore keeps sessions in the store. It implements [scs.CtxStore].
type sessionStore struct{ p *People }

var _ scs.CtxStore = (*sessionStore)(nil)

// FindCtx implements [scs.CtxStore]; hash is the token's.
func (s *sessionStore) FindCtx(ctx context.Context, hash string) ([]byte, bool, error) {
	w, ok, err := s.p.store.WebSession(ctx, hash)
	now := s.p.now()
	if err != nil || !ok || !now.Before(w.Expires) || now.Sub(w.Used) >= sessionIdle {
		return nil, false, err
	}
	if now.Sub(w.Used) >= touchEvery {
		if err := s.p.store.TouchWebSession(ctx, hash, now); err != nil {
			s.p.log.Warn("the use of a session could not be noted", "error", err)
		}
	}
	return w.Data, true, nil
}

// CommitCtx implements [scs.CtxStore]. Only who signs in has a session to keep.
func (s *sessionStore) CommitCtx(ctx context.Context, hash string, data []byte, expires time.Time) error {
	w := webOf(ctx)
	if w == nil || w.signer == "" {
		return errors.New("a session changed that nobody signed in to")
	}
	return s.p.store.SaveWebSession(ctx, store.WebSession{Hash: hash, Person: w.signer, Data: data, Used: s.p.now(), Expires: expires})
}

// DeleteCtx implements [scs.CtxStore].
func (s *sessionStore) DeleteCtx(ctx context.Context, hash string) error {
	return s.p.store.EndWebSession(ctx, hash)
}

var errNoContext = errors.New("a session is used without its request")

// Find implements [scs.Store], which is not called.
func (s *sessionStore) Find(string) ([]byte, bool, error) { return nil, false, errNoContext }

// Commit implements [scs.Store], which is not called.
func (s *sessionStore) Commit(string, []byte, time.Time) error { return errNoContext }

// Delete implements [scs.Store], which is not called.
func (s *sessionStore) Delete(string) error { return errNoContext }
