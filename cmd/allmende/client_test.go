// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"
)

// TestREST: a method becomes the call that its rule in the contract says, with
// the token, and a refusal is the coordinator's own words.
func TestREST(t *testing.T) {
	var got *http.Request
	var body string
	answer, code := `{"token":"alm1.x","expiresUnixMs":"1700000000000"}`, http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.WriteHeader(code)
		w.Write([]byte(answer))
	}))
	defer srv.Close()
	client := allmendev1.NewCommunityServiceClient(newREST(srv.URL, "secret"))
	tok, err := client.CreateEnrolmentToken(t.Context(), &allmendev1.CreateEnrolmentTokenRequest{GatewayId: "gw-1/../x"})
	if err != nil || tok.GetToken() != "alm1.x" || tok.GetExpiresUnixMs() != 1_700_000_000_000 {
		t.Fatalf("%v, %v", tok, err)
	}
	if got.Method != http.MethodPost || got.URL.EscapedPath() != "/v1/gateways/gw-1%2F..%2Fx/enrolment-token" || got.Header.Get("Authorization") != "Bearer secret" {
		t.Errorf("%s %s %v", got.Method, got.URL.EscapedPath(), got.Header)
	}
	if !json.Valid([]byte(body)) {
		t.Errorf("body %q", body)
	}
	answer = `{"leaves":[]}`
	if _, err := client.ListLeaves(t.Context(), &allmendev1.ListLeavesRequest{FirstIndex: 7, PageSize: 3}); err != nil || got.URL.RawQuery != "firstIndex=7&pageSize=3" {
		t.Errorf("%v, %q", err, got.URL.RawQuery)
	}
	answer, code = `{"code":7,"message":"not for you"}`, http.StatusForbidden
	if _, err := client.GetCharter(t.Context(), &allmendev1.GetCharterRequest{}); err == nil || err.Error() != "not for you" {
		t.Errorf("%v", err)
	}
}

// TestNobodyToAsk: each way of not reaching a coordinator says what to do.
func TestNobodyToAsk(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no folder", []string{"--dir", dir}, "allmende.yaml"},
		{"no address", []string{"--server", "sun.example.org"}, "https://sun.example.org"},
		{"a token in the clear", []string{"--server", "http://sun.example.org", "--token", "x"}, "unprotected"},
		{"nobody there", []string{"--server", "http://127.0.0.1:1"}, "does it run there"},
		{"both", []string{"--server", "http://127.0.0.1:1", "--dir", dir}, "can't be used together"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out := runFails(t, append([]string{"gateway", "token", "gw-1"}, c.args...)...); !strings.Contains(out, c.want) {
				t.Errorf("%q does not say %q", out, c.want)
			}
		})
	}
	runOK(t, "init", dir+"/lane", "--yes", "--id", "lane", "--name", "Lane", "--timezone", "Europe/Vienna")
	if out := runFails(t, "gateway", "token", "gw-lane", "--dir", dir+"/lane"); !strings.Contains(out, "allmende serve --dir") {
		t.Errorf("%q does not say how to start it", out)
	}
}

// runOK runs a command that works, and returns what it prints.
func runOK(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := command(t, false, "", args...)
	if code != 0 {
		t.Fatalf("allmende %s: %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// runFails runs a command that fails, and returns what it says about it.
func runFails(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := command(t, false, "", args...)
	if code == 0 {
		t.Fatalf("allmende %s worked:\n%s", strings.Join(args, " "), out)
	}
	return errs
}
