// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// TestALifeOfAGateway from its token to its revocation and back, by commands.
func TestALifeOfAGateway(t *testing.T) {
	home, edge := filepath.Join(t.TempDir(), "lane"), filepath.Join(t.TempDir(), "edge")
	runOK(t, "init", home, "--yes", "--name", "Lane")
	cfg, err := coordinator.Load(home)
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTP.Listen, cfg.GRPC.Listen, cfg.Gateways.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c, err := coordinator.Start(t.Context(), cfg, worldtime.NewReal(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	id := string(cfg.Roll.Gateways[0].ID)

	if err := os.Mkdir(edge, 0o700); err != nil {
		t.Fatal(err)
	}
	if text := runFails(t, "gateway", "status", "--dir", edge); !strings.Contains(text, "allmende gateway enrol TOKEN") {
		t.Errorf("status of nothing: %s", text)
	}
	enrol := func() string {
		token := strings.TrimSpace(runOK(t, "gateway", "token", id, "--dir", home))
		return runOK(t, "gateway", "enrol", token, "--dir", edge)
	}
	if text := enrol(); !strings.Contains(text, "renews it by itself") {
		t.Errorf("enrol says %s", text)
	}
	type status struct {
		Gateway     string
		Certificate struct{ Serial string }
		Running     bool
		Coordinator struct{ Reached bool }
		Problems    []string
	}
	look := func() (s status) {
		t.Helper()
		_, out, errs := command(t, false, "", "gateway", "status", "--dir", edge, "--json")
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%v: %s %s", err, out, errs)
		}
		return s
	}
	if s := look(); s.Gateway != id || !s.Coordinator.Reached || s.Running || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "allmende gateway run") {
		t.Errorf("enrolled: %+v", s)
	}

	gw, err := gateway.Load(edge)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- gateway.Run(ctx, gw, worldtime.NewReal(), slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	type certificate struct {
		Gateway, Serial, State, Reason string
		Connected                      bool
		Ends                           time.Time
	}
	list := func() (all []certificate) {
		t.Helper()
		if err := json.Unmarshal([]byte(runOK(t, "gateway", "certificates", id, "--dir", home, "--json")), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for begun := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Since(begun) > 5*time.Minute {
				t.Fatalf("%s: never came", what)
			}
		}
	}
	until("a stream", func() bool { return list()[0].Connected })
	if code, out, errs := command(t, false, "", "gateway", "status", "--dir", edge); code != 0 || !strings.Contains(out, "takes this gateway") {
		t.Errorf("running: %d %s %s", code, out, errs)
	}
	if text := runOK(t, "gateway", "certificates", "--dir", home); !strings.Contains(text, "current, connected") || !strings.Contains(text, look().Certificate.Serial) {
		t.Errorf("the table: %s", text)
	}

	if text := runOK(t, "gateway", "revoke", id, "--reason", "lent to a neighbour", "--dir", home); !strings.Contains(text, "its stream has ended") {
		t.Errorf("revoke says %s", text)
	}
	if all := list(); len(all) != 1 || all[0].State != "revoked" || all[0].Reason != "lent to a neighbour" {
		t.Errorf("listed %+v", all)
	}
	if code, out, errs := command(t, false, "", "gateway", "status", "--dir", edge); code != 1 || !strings.Contains(errs, "lent to a neighbour") || !strings.Contains(errs, "allmende gateway token "+id) {
		t.Errorf("revoked: %d %s %s", code, out, errs)
	}
	if text := enrol(); !strings.Contains(text, "goes on with it") {
		t.Errorf("enrol says %s", text)
	}
	until("a stream again", func() bool { return list()[0].Connected })
	if text := runFails(t, "gateway", "revoke", "gw-nobody", "--dir", home); !strings.Contains(text, "there is no gateway gw-nobody") {
		t.Errorf("nobody: %s", text)
	}
}
