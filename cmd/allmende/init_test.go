// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/coordinator"
)

// command runs the program as main does.
func command(t *testing.T, terminal bool, in string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &output{In: strings.NewReader(in), Out: &o, Err: &e, IsTerminal: terminal})
	return code, o.String(), e.String()
}

func TestInitWritesWhatServeTakes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	code, out, errs := command(t, false, "", "init", dir, "--yes", "--name", "Sonnige Gärten", "--charter", "proportional")
	if code != 0 {
		t.Fatal(errs)
	}
	if !strings.Contains(out, "allmende serve --dir "+dir) {
		t.Errorf("it does not say what to do next: %s", out)
	}
	cfg, err := coordinator.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Roll.ID != "sonnige-gaerten" || cfg.Roll.Name != "Sonnige Gärten" || cfg.Rules.Name == "" {
		t.Errorf("%+v", cfg.Roll)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && strings.HasSuffix(path, ".key") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	// A second time it refuses, and leaves everything as it is.
	before, err := os.ReadFile(filepath.Join(dir, "ledger.key"))
	if err != nil {
		t.Fatal(err)
	}
	code, _, errs = command(t, false, "", "init", dir, "--yes")
	after, _ := os.ReadFile(filepath.Join(dir, "ledger.key"))
	if code == 0 || !strings.Contains(errs, "nothing is overwritten") || !bytes.Equal(before, after) {
		t.Errorf("a second init: %d %s", code, errs)
	}
}

// With --empty the example row of the spreadsheet fits as it is.
func TestInitEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	code, out, errs := command(t, false, "", "init", dir, "--yes", "--empty", "--name", "Moon Lane")
	if code != 0 || !strings.Contains(out, "allmende member import members.csv --dry-run --dir "+dir) {
		t.Fatal(out, errs)
	}
	cfg, err := coordinator.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Roll.Members) != 1 || cfg.Roll.Members[0].Name != "Moon Lane" || cfg.Roll.Connections[0].ID != "village" || cfg.Roll.Gateways[0].ID != "gw-lane" {
		t.Errorf("%+v", cfg.Roll)
	}
}

func TestInitAsks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	code, _, errs := command(t, true, "Moon Lane\nMoon\nmoon\n\nnone\nequal-shares\n", "init", dir)
	if code != 0 {
		t.Fatal(errs)
	}
	for _, want := range []string{"[moon-lane]", `"Moon" cannot be an id`, "[Europe/Vienna]", `no charter template "none"`} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is missing in %s", want, errs)
		}
	}
	if cfg, err := coordinator.Load(dir); err != nil || cfg.Roll.ID != "moon" {
		t.Errorf("%q, %v", cfg.Roll.ID, err)
	}
}

func TestInitRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"write --name, or --yes": {},
		"--timezone: ":           {"--yes", "--timezone", "Mars/Olympus"},
		"--id: ":                 {"--yes", "--id", "A B"},
		"--charter: ":            {"--yes", "--charter", "chaos"},
		"--name: ":               {"--yes", "--name", "a\nb"},
	} {
		dir := filepath.Join(t.TempDir(), "lane")
		code, _, errs := command(t, false, "", append([]string{"init", dir}, args...)...)
		if code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%q: %d %s", args, code, errs)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%q: something was written", args)
		}
	}
	if code, _, errs := command(t, true, "Moon", "init", filepath.Join(t.TempDir(), "x")); code == 0 || !strings.Contains(errs, "nothing was written") {
		t.Errorf("an answer that never came: %s", errs)
	}
}

func TestServeSaysWhatIsWrong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	code, _, errs := command(t, false, "", "serve", "--dir", dir, "--http", taken.Addr().String())
	if code == 0 || !strings.Contains(errs, "taken by another program") || !strings.Contains(errs, "--http") {
		t.Errorf("a port in use: %d %s", code, errs)
	}
	if code, _, errs = command(t, false, "", "serve", "--dir", dir, "--http", "8080"); code == 0 || !strings.Contains(errs, "host and port") {
		t.Errorf("no address: %d %s", code, errs)
	}
	if err := os.WriteFile(filepath.Join(dir, "community.yaml"), []byte("id: lane\nmebers: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs = command(t, false, "", "serve", "--dir", dir)
	if code == 0 || !strings.Contains(errs, "community.yaml:2: mebers: unknown field (did you mean members?)") {
		t.Errorf("a misspelt field: %d %s", code, errs)
	}
	if code, _, errs = command(t, false, "", "serve", "--dir", t.TempDir()); code == 0 || !strings.Contains(errs, "allmende init") {
		t.Errorf("an empty folder: %d %s", code, errs)
	}
}

func TestServeStops(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	file := filepath.Join(dir, "allmende.yaml")
	if err := os.WriteFile(file, []byte("http: {listen: \"127.0.0.1:0\"}\ngrpc: {listen: \"127.0.0.1:0\"}\ngateways: {listen: \"127.0.0.1:0\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started := &starting{said: "runs; stop it", then: cancel}
	if code := run(ctx, []string{"serve", "--dir", dir}, &output{In: strings.NewReader(""), Out: started, Err: t.Output()}); code != 0 {
		t.Errorf("serve ended with %d", code)
	}
}

// starting cancels when it has read a phrase.
type starting struct {
	said string
	then func()
}

func (s *starting) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.said) {
		s.then()
	}
	return len(p), nil
}
