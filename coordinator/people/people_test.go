// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/coordinator/access"
	"github.com/allmende-energy/allmende/coordinator/store"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wall is a clock that a test moves.
type wall struct {
	mu sync.Mutex
	at time.Time
}

func (w *wall) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *wall) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

type household struct {
	t *testing.T
	*People
	clock    *wall
	store    *store.Store
	accounts *Accounts
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	dir := t.TempDir()
	if _, err := store.CreateKey(filepath.Join(dir, "key"), "lane", rand.Reader); err != nil {
		t.Fatal(err)
	}
	signer, err := store.LoadSigner(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), filepath.Join(dir, "ledger.db"), store.Options{Community: "lane", Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	policy, err := access.Load()
	if err != nil {
		t.Fatal(err)
	}
	// Session cookies have ends that net/http looks at: the clock begins at the present.
	h := &household{t: t, clock: &wall{at: time.Now()}, store: s}
	guard := &access.Guard{Policy: policy, Anonymous: policy.Anonymous(false)}
	h.People = New(Config{Community: "Sunny Lane", Base: "http://localhost:8080", Now: h.clock.now}, s, guard, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(h.Close)
	h.accounts = &Accounts{People: h.People}
	return h
}

// tab is a browser's tab at a host, with its cookie.
type tab struct {
	h      *household
	host   string
	tls    bool
	cookie *http.Cookie
}

func (h *household) tab(host string) *tab { return &tab{h: h, host: host} }

// in runs fn as a call from the tab, and keeps the cookie that it sets.
func (b *tab) in(fn func(ctx context.Context) error) error {
	b.h.t.Helper()
	var err error
	handler := b.h.guard.HTTP(b.h.Sessions(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err = fn(r.Context())
		w.WriteHeader(http.StatusOK)
	})))
	r := httptest.NewRequest(http.MethodPost, "http://"+b.host+"/v1/x", nil)
	if b.tls {
		r.URL.Scheme = "https"
	}
	r.Host, r.RemoteAddr = b.host, "192.0.2.7:999"
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookie = c; c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return err
}

const password = "four words like these"

// account makes one by a setup link.
func (h *household) account(b *tab, login, password string) (codes []string) {
	h.t.Helper()
	link, _, err := h.newSetupLink(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	_, secret, _ := strings.Cut(link, "/#/link/")
	err = b.in(func(ctx context.Context) error {
		answer, err := h.accounts.AcceptLink(ctx, &allmendev1.AcceptLinkRequest{Secret: secret, Login: login, Password: password})
		codes = answer.GetRecoveryCodes()
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return codes
}

func (b *tab) signedIn() (access.Kind, string) {
	var who access.Principal
	b.in(func(ctx context.Context) error { //nolint:errcheck // it returns none
		who = access.From(ctx)
		return nil
	})
	return who.Kind, who.ID
}

func TestSessionsEnd(t *testing.T) {
	h := newHousehold(t)
	b := h.tab("localhost:8080")
	h.account(b, "stella", password)
	if kind, _ := b.signedIn(); kind != access.Person {
		t.Fatal("she is not signed in")
	}
	// In use, it lives until its end.
	for range 9 {
		h.clock.pass(3 * 24 * time.Hour)
		if kind, _ := b.signedIn(); kind != access.Person {
			t.Fatal("a session that is in use has ended")
		}
	}
	old := *b
	h.clock.pass(4 * 24 * time.Hour)
	if kind, _ := b.signedIn(); kind != access.None {
		t.Error("a session outlives its end")
	}
	// Not in use, it ends sooner.
	signIn := func(b *tab) error {
		return b.in(func(ctx context.Context) error {
			_, err := h.accounts.SignIn(ctx, &allmendev1.SignInRequest{Login: "stella", Password: password})
			return err
		})
	}
	if err := signIn(b); err != nil {
		t.Fatal(err)
	}
	h.clock.pass(sessionIdle + time.Minute)
	if kind, _ := b.signedIn(); kind != access.None {
		t.Error("a session that nobody uses goes on")
	}
	if kind, _ := old.signedIn(); kind != access.None {
		t.Error("an old session's cookie opens something")
	}
	// Over TLS the cookie is for TLS alone.
	b.tls, b.cookie = true, nil
	if err := signIn(b); err != nil {
		t.Fatal(err)
	}
	if b.cookie == nil || b.cookie.Name != "__Host-allmende_session" || !b.cookie.Secure || !b.cookie.HttpOnly || b.cookie.Path != "/" || b.cookie.Domain != "" {
		t.Errorf("cookie over TLS: %+v", b.cookie)
	}
	if kind, _ := b.signedIn(); kind != access.Person {
		t.Error("the cookie over TLS is not taken")
	}
}

func TestLinksEnd(t *testing.T) {
	h := newHousehold(t)
	link, expires, err := h.newSetupLink(t.Context())
	if err != nil || expires.Sub(h.clock.now()) != setupFor {
		t.Fatalf("%v, %v", expires, err)
	}
	_, secret, _ := strings.Cut(link, "/#/link/")
	h.clock.pass(setupFor)
	err = h.tab("localhost").in(func(ctx context.Context) error {
		_, err := h.accounts.AcceptLink(ctx, &allmendev1.AcceptLinkRequest{Secret: secret, Login: "late", Password: password})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "too old") {
		t.Errorf("a setup link that is too old: %v", err)
	}
	// Two at the same moment: one account.
	link, _, err = h.newSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ = strings.Cut(link, "/#/link/")
	worked := make(chan bool)
	for _, login := range []string{"first", "second"} {
		go func() {
			worked <- h.tab("localhost").in(func(ctx context.Context) error {
				_, err := h.accounts.AcceptLink(ctx, &allmendev1.AcceptLinkRequest{Secret: secret, Login: login, Password: password})
				return err
			}) == nil
		}()
	}
	if a, b := <-worked, <-worked; a == b {
		t.Errorf("the link worked for the first: %v, for the second: %v", a, b)
	}
}

// Somebody who sits down at another's screen can't keep her account.
func TestALongSessionAsksForThePassword(t *testing.T) {
	h := newHousehold(t)
	b := h.tab("localhost")
	h.account(b, "stella", password)
	set := func(current string) error {
		return b.in(func(ctx context.Context) error {
			_, err := h.accounts.SetPassword(ctx, &allmendev1.SetPasswordRequest{CurrentPassword: current, NewPassword: "another long password"})
			return err
		})
	}
	h.clock.pass(freshFor + time.Second)
	if err := set(""); err == nil || !strings.Contains(err.Error(), "present password") {
		t.Errorf("without the password: %v", err)
	}
	if err := set("guessed password"); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("with a wrong password: %v", err)
	}
	codes := func() error {
		return b.in(func(ctx context.Context) error {
			_, err := h.accounts.NewRecoveryCodes(ctx, &allmendev1.NewRecoveryCodesRequest{})
			return err
		})
	}
	if err := codes(); err == nil {
		t.Error("new recovery codes without the password")
	}
	if err := set(password); err != nil {
		t.Errorf("with the password: %v", err)
	}
}

func TestNothingOverGRPC(t *testing.T) {
	h := newHousehold(t)
	if _, err := h.accounts.SignIn(t.Context(), &allmendev1.SignInRequest{}); err == nil || !strings.Contains(err.Error(), "over REST") {
		t.Errorf("a sign-in over gRPC: %v", err)
	}
}

func TestPasskeys(t *testing.T) {
	h := newHousehold(t)
	b := h.tab("sun.example.org")
	b.tls = true
	h.account(b, "stella", "") // no password at all
	_, stella := b.signedIn()
	key := newAuthenticator(t, "sun.example.org", "https://sun.example.org")
	synced := newAuthenticator(t, "sun.example.org", "https://sun.example.org")
	synced.silent = true
	add := func(b *tab, key *authenticator) error {
		return b.in(func(ctx context.Context) error {
			begun, err := h.accounts.BeginPasskey(ctx, &allmendev1.BeginPasskeyRequest{})
			if err != nil {
				return err
			}
			_, err = h.accounts.FinishPasskey(ctx, &allmendev1.FinishPasskeyRequest{
				CeremonyId: begun.GetCeremonyId(), ResponseJson: key.create(begun.GetOptionsJson()), Name: "Phone",
			})
			return err
		})
	}
	if err := add(b, key); err != nil {
		t.Fatal(err)
	}
	if err := add(b, synced); err != nil {
		t.Fatal(err)
	}
	var begun *allmendev1.PasskeyCeremony
	begin := func(b *tab) {
		t.Helper()
		if err := b.in(func(ctx context.Context) (err error) {
			begun, err = h.accounts.BeginPasskeySignIn(ctx, &allmendev1.BeginPasskeySignInRequest{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	finish := func(b *tab, response string) error {
		return b.in(func(ctx context.Context) error {
			_, err := h.accounts.FinishPasskeySignIn(ctx, &allmendev1.FinishPasskeySignInRequest{CeremonyId: begun.GetCeremonyId(), ResponseJson: response})
			return err
		})
	}
	fresh := func() *tab { return &tab{h: h, host: "sun.example.org", tls: true} }
	one := fresh()
	begin(one)
	answer := key.get(begun.GetOptionsJson())
	if err := finish(one, answer); err != nil {
		t.Fatal(err)
	}
	if kind, id := one.signedIn(); kind != access.Person || id != stella {
		t.Errorf("signed in as %s %s", kind, id)
	}
	// An answer is good once, also of a key that counts nothing.
	if err := finish(fresh(), answer); err == nil {
		t.Error("an answer was taken twice")
	}
	begin(one)
	again := synced.get(begun.GetOptionsJson())
	if err := finish(fresh(), again); err != nil {
		t.Error(err)
	}
	if err := finish(fresh(), again); err == nil || !strings.Contains(err.Error(), "begin again") {
		t.Errorf("an answer was taken twice: %v", err)
	}
	begin(fresh())
	if err := finish(fresh(), answer); err == nil {
		t.Error("an answer to another question was taken")
	}
	// Not from a page elsewhere, not without the finger, not with another key, not too late, not from a copy.
	for what, spoil := range map[string]func(*authenticator){
		"another page":           func(a *authenticator) { a.origin = "https://sun.example.org.evil.example" },
		"another site":           func(a *authenticator) { a.rp = "evil.example" },
		"no finger":              func(a *authenticator) { a.verified = false },
		"a key of its own":       func(a *authenticator) { a.renew() },
		"an unknown credential":  func(a *authenticator) { a.id = []byte("something else") },
		"another account's name": func(a *authenticator) { a.user = []byte("somebody else's handle, 32 bytes") },
		"a copy":                 func(a *authenticator) { a.count = 1 },
	} {
		thief := key.copy()
		thief.count += 100
		spoil(thief)
		b := fresh()
		begin(b)
		if err := finish(b, thief.get(begun.GetOptionsJson())); err == nil {
			t.Errorf("%s opened the account", what)
		}
	}
	late := fresh()
	begin(late)
	h.clock.pass(ceremonyFor)
	if err := finish(late, key.get(begun.GetOptionsJson())); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("too late: %v", err)
	}
	// A number is no place for a passkey.
	numeric := h.tab("192.168.1.10:8080")
	if err := numeric.in(func(ctx context.Context) error {
		_, err := h.accounts.BeginPasskeySignIn(ctx, &allmendev1.BeginPasskeySignInRequest{})
		return err
	}); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("at a number: %v", err)
	}
	// What is removed opens nothing.
	if err := one.in(func(ctx context.Context) error {
		list, err := h.accounts.ListPasskeys(ctx, &allmendev1.ListPasskeysRequest{})
		if err != nil {
			return err
		}
		if n := len(list.GetPasskeys()); n != 2 || list.GetPasskeys()[0].GetUsedUnixMs() == 0 {
			t.Errorf("%d passkeys: %v", n, list)
		}
		for _, k := range list.GetPasskeys() {
			if _, err := h.accounts.RemovePasskey(ctx, &allmendev1.RemovePasskeyRequest{PasskeyId: k.GetPasskeyId()}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	gone := fresh()
	begin(gone)
	if err := finish(gone, key.get(begun.GetOptionsJson())); err == nil {
		t.Error("a removed passkey opened the account")
	}
}

// What begins and never ends is forgotten.
func TestCeremoniesAreBounded(t *testing.T) {
	c := newCeremonies(time.Now)
	for range 3 * mostCeremonies {
		c.begin(ceremony{})
	}
	if len(c.going) > mostCeremonies {
		t.Errorf("%d are kept", len(c.going))
	}
}

// The log of a program is read by others than the audit log.
func TestSecretsAreNotLogged(t *testing.T) {
	h := newHousehold(t)
	var b strings.Builder
	h.log = slog.New(slog.NewJSONHandler(io.Writer(&b), nil))
	tb := h.tab("localhost")
	codes := h.account(tb, "stella", password)
	h.store.Close()
	tb.in(func(ctx context.Context) error { //nolint:errcheck // it fails: the database is closed
		_, err := h.accounts.Recover(ctx, &allmendev1.RecoverRequest{Login: "stella", Code: codes[0]})
		return err
	})
	tb.in(func(ctx context.Context) error { //nolint:errcheck // it fails: the database is closed
		_, err := h.accounts.SignIn(ctx, &allmendev1.SignInRequest{Login: "stella", Password: password})
		return err
	})
	if log := b.String(); strings.Contains(log, password) || strings.Contains(log, codes[0]) {
		t.Errorf("secrets in the log: %s", log)
	}
	if !json.Valid([]byte(strings.SplitN(b.String()+"{}", "\n", 2)[0])) {
		t.Error("the log is no JSON")
	}
}
