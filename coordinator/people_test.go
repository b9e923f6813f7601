// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/internal/worldtime"
	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// inService is a coordinator whose world is the real one, so that nobody looks
// around without an account.
func inService(t *testing.T, dir string) *Coordinator {
	t.Helper()
	cfg, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Page = http.NotFoundHandler()
	return startWith(t, cfg)
}

func startWith(t *testing.T, cfg Config) *Coordinator {
	t.Helper()
	c, err := Start(t.Context(), cfg, worldtime.NewReal(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	return c
}

// browser is somebody at a screen of her own.
type browser struct {
	t    *testing.T
	base string
	http *http.Client
}

func (c *Coordinator) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	_, port, _ := strings.Cut(c.Addresses().HTTP, ":")
	return &browser{t, "http://localhost:" + port, &http.Client{Jar: jar, Transport: tr}}
}

// do sends a request as the page would, and returns the answer's code and text.
func (b *browser) do(method, path string, body any, change ...func(*http.Request)) (int, string) {
	b.t.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, fn := range change {
		fn(req)
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, string(out)
}

type fields map[string]any

// must is do, with the answer's fields, for what has to work.
func (b *browser) must(method, path string, body any) fields {
	b.t.Helper()
	code, text := b.do(method, path, body)
	if code != http.StatusOK {
		b.t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	var out fields
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// refused says that something is refused with a code and a word of the reason.
func (b *browser) refused(code int, word, method, path string, body any, change ...func(*http.Request)) {
	b.t.Helper()
	if got, text := b.do(method, path, body, change...); got != code || !strings.Contains(text, word) {
		b.t.Errorf("%s %s: %d %s, expected %d with %q", method, path, got, text, code, word)
	}
}

func (b *browser) session() *http.Cookie {
	u, _ := url.Parse(b.base)
	for _, c := range b.http.Jar.Cookies(u) {
		if strings.HasSuffix(c.Name, "allmende_session") {
			return c
		}
	}
	return nil
}

func secretOf(t *testing.T, link string) string {
	t.Helper()
	_, secret, ok := strings.Cut(link, "/#/link/")
	if !ok || len(secret) < 40 {
		t.Fatalf("no link: %q", link)
	}
	return secret
}

const goodPassword = "four words like these"

// found makes the first account by the setup link.
func (c *Coordinator) found(t *testing.T) *browser {
	t.Helper()
	link, _, ok, err := c.SetupLink(context.Background())
	if err != nil || !ok {
		t.Fatalf("no setup link: %v", err)
	}
	b := c.browser(t)
	b.must("POST", "/v1/link/accept", fields{"secret": secretOf(t, link), "login": "stella", "name": "Stella", "password": goodPassword})
	return b
}

// invite makes an account that by invites.
func (c *Coordinator) invite(t *testing.T, by *browser, login, member string, roles ...string) *browser {
	t.Helper()
	link := by.must("POST", "/v1/invitations", fields{"roles": roles, "memberId": member})["url"].(string)
	b := c.browser(t)
	b.must("POST", "/v1/link/accept", fields{"secret": secretOf(t, link), "login": login, "name": login, "password": goodPassword})
	return b
}

func TestTheFirstAccount(t *testing.T) {
	c := inService(t, folder(t, twoHomes))
	stranger := c.browser(t)
	if me := stranger.must("GET", "/v1/me", nil); me["kind"] != "none" || me["setupNeeded"] != true {
		t.Errorf("before the setup: %v", me)
	}
	old, _, _, err := c.SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link, expires, ok, err := c.SetupLink(t.Context())
	if err != nil || !ok || !strings.HasPrefix(link, "http://localhost:") || expires.IsZero() {
		t.Fatalf("%q, %v, %v", link, ok, err)
	}
	accept := fields{"secret": secretOf(t, link), "login": "Stella", "name": "Stella Steward", "password": goodPassword}
	with := func(key string, value any) fields {
		out := fields{}
		maps.Copy(out, accept)
		out[key] = value
		return out
	}
	// A newer link takes the older one's place.
	stranger.refused(404, "used, too old", "POST", "/v1/link/accept", with("secret", secretOf(t, old)))
	stranger.refused(400, "at least 10", "POST", "/v1/link/accept", with("password", "short"))
	stranger.refused(400, "everybody tries", "POST", "/v1/link/accept", with("password", "Password1234"))
	stranger.refused(400, "letters a to z", "POST", "/v1/link/accept", with("login", "st<b>ella"))
	read := stranger.must("POST", "/v1/link", fields{"secret": secretOf(t, link)})
	if read["setup"] != true || read["communityName"] != "Sunny Lane" {
		t.Errorf("the link reads %v", read)
	}
	answer := stranger.must("POST", "/v1/link/accept", accept)
	codes := answer["recoveryCodes"].([]any)
	me := answer["me"].(map[string]any)
	if len(codes) != 10 || me["login"] != "stella" || len(me["roles"].([]any)) != 3 {
		t.Errorf("the account: %v", answer)
	}
	// The link is used up, and nobody is told of another one.
	c.browser(t).refused(404, "used, too old", "POST", "/v1/link/accept", with("login", "eve"))
	if _, _, ok, err := c.SetupLink(t.Context()); ok || err != nil {
		t.Errorf("a second setup link: %v, %v", ok, err)
	}
	// She is signed in, and can come back.
	if me := stranger.must("GET", "/v1/me", nil); me["name"] != "Stella Steward" || me["setupNeeded"] == true {
		t.Errorf("signed in: %v", me)
	}
	stranger.must("GET", "/v1/people", nil)
	stranger.must("POST", "/v1/sign-out", fields{})
	stranger.refused(401, "sign in", "GET", "/v1/people", nil)
	other := c.browser(t)
	other.must("POST", "/v1/sign-in", fields{"login": " STELLA ", "password": goodPassword})
	other.must("GET", "/v1/people", nil)
	// A recovery code works once, however it is typed.
	typed := strings.ToUpper(strings.ReplaceAll(codes[3].(string), "-", " "))
	again := c.browser(t)
	again.must("POST", "/v1/sign-in/recovery", fields{"login": "stella", "code": typed})
	again.refused(401, "do not fit", "POST", "/v1/sign-in/recovery", fields{"login": "stella", "code": typed})
	// A new password needs no old one just behind a sign-in, and ends other sessions.
	again.must("POST", "/v1/me/password", fields{"newPassword": "quite another password"})
	again.must("GET", "/v1/people", nil)
	other.refused(401, "sign in", "GET", "/v1/people", nil)
	other.refused(401, "do not fit", "POST", "/v1/sign-in", fields{"login": "stella", "password": goodPassword})
	// The operator gets in again through her own door.
	admin := allmendev1.NewPeopleServiceClient(adminConn(t, c.cfg.Dir))
	setup, err := admin.CreateSetupLink(t.Context(), &allmendev1.CreateSetupLinkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	c.browser(t).must("POST", "/v1/link/accept", fields{"secret": secretOf(t, setup.GetUrl()), "login": "rescue", "password": goodPassword})
}
