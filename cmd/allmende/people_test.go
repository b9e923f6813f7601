// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is a terminal that a test reads while a command writes to it.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// find waits until something was written, and returns what the group holds.
func (s *screen) find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(s.text()); m != nil {
			return m[1]
		}
	}
	t.Fatalf("waited for %s in:\n%s", pattern, s.text())
	return ""
}

// serving runs the coordinator of a new community at a terminal, or not.
func serving(t *testing.T, terminal bool, change ...func(dir string)) (dir string, out, errs *screen) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "lane")
	runOK(t, "init", dir, "--yes")
	if err := os.WriteFile(filepath.Join(dir, "allmende.yaml"), []byte("http: {listen: \"127.0.0.1:0\"}\ngrpc: {listen: \"127.0.0.1:0\"}\ngateways: {listen: \"127.0.0.1:0\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, fn := range change {
		fn(dir)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, errs = &screen{}, &screen{}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--dir", dir}, &output{In: strings.NewReader(""), Out: out, Err: errs, IsTerminal: terminal})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d:\n%s", code, errs.text())
		}
	})
	out.find(t, `(page and REST)`)
	return dir, out, errs
}

func accept(t *testing.T, link, login string) *http.Client {
	t.Helper()
	base, secret, _ := strings.Cut(link, "/#/link/")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	body, _ := json.Marshal(map[string]string{"secret": secret, "login": login, "password": "four words like these"})
	res, err := client.Post(base+"/v1/link/accept", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("the link: %s %s", res.Status, text)
	}
	return client
}

func TestPeopleCommands(t *testing.T) {
	dir, _, errs := serving(t, true)
	link := errs.find(t, `(http://localhost:\d+/#/link/\S+)`)
	if strings.Contains(link, "level=") || strings.Count(errs.text(), link) != 1 {
		t.Errorf("the link was written to the log:\n%s", errs.text())
	}
	accept(t, link, "stella")

	invited := strings.TrimSpace(runOK(t, "people", "invite", "--dir", dir, "--role", "member", "--role", "treasurer", "--note", "Theo"))
	if out := runOK(t, "people", "invitations", "--dir", dir); !strings.Contains(out, "Theo") {
		t.Errorf("invitations: %s", out)
	}
	accept(t, invited, "theo")
	out := runOK(t, "people", "list", "--dir", dir)
	if !strings.Contains(out, "stella") || !strings.Contains(out, "member treasurer") {
		t.Errorf("people: %s", out)
	}
	if out := runOK(t, "people", "change", "theo", "--dir", dir, "--role", "observer", "--disable"); !strings.Contains(out, "theo (theo): observer; may not sign in") {
		t.Errorf("change: %s", out)
	}
	if out := runFails(t, "people", "change", "stella", "--dir", dir, "--disable"); !strings.Contains(out, "last steward") {
		t.Errorf("the last steward: %s", out)
	}
	if out := runFails(t, "people", "change", "nobody", "--dir", dir, "--enable"); !strings.Contains(out, "allmende people list") {
		t.Errorf("nobody: %s", out)
	}
	runOK(t, "people", "delete", "theo", "--dir", dir)
	if out := runFails(t, "people", "invite", "--dir", dir, "--role", "emperor"); !strings.Contains(out, "emperor") {
		t.Errorf("an unknown role: %s", out)
	}

	var made struct{ ID, Token string }
	if err := json.Unmarshal([]byte(runOK(t, "token", "create", "--dir", dir, "--name", "hall", "--scope", "live", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Token, "alm_") {
		t.Errorf("token %+v", made)
	}
	base, _, _ := strings.Cut(link, "/#")
	if out := runFails(t, "token", "list", "--server", base, "--token", made.Token); !strings.Contains(out, "tokens.read") {
		t.Errorf("a token that lists tokens: %s", out)
	}
	runOK(t, "token", "revoke", made.ID, "--dir", dir)
	if out := runFails(t, "token", "list", "--server", base, "--token", made.Token); !strings.Contains(out, "not signed in, or no longer") {
		t.Errorf("a revoked token: %s", out)
	}
	if out := runOK(t, "token", "list", "--dir", dir); !strings.Contains(out, "hall") || strings.Contains(out, made.Token) {
		t.Errorf("tokens: %s", out)
	}

	var log struct {
		Entries []struct{ Act, Outcome, Kind, Object string }
	}
	if err := json.Unmarshal([]byte(runOK(t, "audit", "--dir", dir, "--json", "--limit", "100")), &log); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ act, outcome, kind string }{
		{"/allmende.v1.PeopleService/CreateInvitation", "done", "local"},
		{"/allmende.v1.PeopleService/CreateInvitation", "failed", "local"},
		{"/allmende.v1.PeopleService/DeletePerson", "done", "local"},
		{"/allmende.v1.PeopleService/ListTokens", "denied", "token"},
		{"/allmende.v1.AccountService/AcceptLink", "done", "none"},
	} {
		found := false
		for _, e := range log.Entries {
			found = found || e.Act == want.act && e.Outcome == want.outcome && e.Kind == want.kind
		}
		if !found {
			t.Errorf("the audit log lacks %+v:\n%+v", want, log.Entries)
		}
	}
	if out := runOK(t, "audit", "--dir", dir, "--outcome", "denied"); !strings.Contains(out, "tokens.read") {
		t.Errorf("audit: %s", out)
	}
	if strings.Contains(errs.text(), made.Token) {
		t.Error("a token was logged")
	}
}

// What is no terminal may be a log that others read.
func TestTheSetupLinkGoesToNoLog(t *testing.T) {
	dir, out, errs := serving(t, false)
	errs.find(t, `(allmende people setup-link --dir)`)
	if text := out.text() + errs.text(); strings.Contains(text, "#/link/") {
		t.Errorf("a setup link was written to what is no terminal:\n%s", text)
	}
	link := strings.TrimSpace(runOK(t, "people", "setup-link", "--dir", dir))
	accept(t, link, "stella")
}
