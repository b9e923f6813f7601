// SPDX-License-Identifier: AGPL-3.0-or-later

package deploy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// kind is a kind of computer that programs are built for.
type kind struct {
	arch    string // Debian's name
	machine elf.Machine
	class   elf.Class
	setting string // a build setting that only this one has
	runs    string // what runs it here: empty for this computer itself
}

func kinds() []kind {
	return []kind{
		{"amd64", elf.EM_X86_64, elf.ELFCLASS64, "GOAMD64=v1", ""},
		{"arm64", elf.EM_AARCH64, elf.ELFCLASS64, "GOARM64=v8.0", "qemu-aarch64"},
		{"armhf", elf.EM_ARM, elf.ELFCLASS32, "GOARM=7", "qemu-arm"},
	}
}

func program(t *testing.T, k kind) string {
	t.Helper()
	path := filepath.Join(packages(t), "allmende-linux-"+k.arch)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; make packages builds all of them unless ARCHES says otherwise", err)
	}
	return path
}

// A program that needs a library of the system, or a processor that the
// community does not have, is found here and not in somebody's cellar.
func TestProgramsAreForTheirComputers(t *testing.T) {
	for _, k := range kinds() {
		path := program(t, k)
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != k.machine || f.Class != k.class {
			t.Errorf("%s is for %s, %s", path, f.Machine, f.Class)
		}
		if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s asks for a dynamic linker", path)
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var settings []string
		for _, s := range info.Settings {
			settings = append(settings, s.Key+"="+s.Value)
		}
		for _, want := range []string{"CGO_ENABLED=0", "-trimpath=true", "GOOS=linux", k.setting} {
			if !slices.Contains(settings, want) {
				t.Errorf("%s is built without %s: %q", path, want, settings)
			}
		}
	}
}

// A 32-bit processor finds what a 64-bit one forgives, such as counters at odd
// addresses. So the coordinator is founded, started and verified on each kind.
func TestProgramsRunOnTheirComputers(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.arch, func(t *testing.T) {
			words := []string{program(t, k)}
			if k.runs != "" {
				if _, err := exec.LookPath(k.runs); err != nil {
					t.Skipf("%s is not on this computer; make needs installs it", k.runs)
				}
				words = append([]string{k.runs}, words...)
			}
			dir := filepath.Join(t.TempDir(), "street")
			says(t, words, "allmende v", "version")
			says(t, words, "is ready", "init", dir, "--yes")
			starts(t, append(words, "serve", "--dir", dir, "--http", "127.0.0.1:0",
				"--set", "grpc.listen=127.0.0.1:0", "--set", "gateways.listen=127.0.0.1:0"))
			says(t, words, "", "ledger", "verify", dir)
		})
	}
}

func says(t *testing.T, words []string, want string, more ...string) {
	t.Helper()
	args := slices.Concat(words[1:], more)
	b, err := exec.CommandContext(t.Context(), words[0], args...).CombinedOutput()
	if err != nil || !strings.Contains(string(b), want) {
		t.Fatalf("%s %s: %v\n%s", words[0], strings.Join(args, " "), err, b)
	}
}

// starts waits until the coordinator says that it runs, and stops it.
func starts(t *testing.T, words []string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*patience) // an emulated processor is slow
	defer stop()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "gateways") { // the last of the addresses
			ready = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	if err := cmd.Wait(); err != nil || !ready {
		t.Fatalf("%s: ready %t, %v\n%s", strings.Join(words, " "), ready, err, said.String())
	}
}

// Whoever doubts a package builds it again, elsewhere, and compares.
func TestTheSameCommitGivesTheSameBytes(t *testing.T) {
	dir := packages(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, out := filepath.Join(t.TempDir(), "elsewhere"), t.TempDir()
	nfpm, err := filepath.Glob(filepath.Join(root, ".cache/tools/nfpm-*"))
	if err != nil || len(nfpm) == 0 {
		t.Fatalf("make packages leaves nfpm in .cache/tools: %q, %v", nfpm, err)
	}
	script := `umask 077; mkdir "$1"; cd "$0"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$1"
ln -s "$0/.git" "$1/.git"
cd "$1" && TZ=Pacific/Apia LC_ALL=C.UTF-8 ARCHES=amd64 tools/packages.sh "$2" "$3"`
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script, root, elsewhere, nfpm[len(nfpm)-1], out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for _, pattern := range []string{"allmende-linux-amd64", "allmende_*_amd64.deb", "allmende-gateway_*_amd64.deb"} {
		if a, b := sum(t, dir, pattern), sum(t, out, pattern); a != b {
			t.Errorf("%s: %s here, %s elsewhere", pattern, a, b)
		}
	}
}

func sum(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, dir, found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.Sum256(b)
	return filepath.Base(found[0]) + " " + hex.EncodeToString(h[:])
}

func TestPackagesFollowDebiansRules(t *testing.T) {
	lintian, err := exec.LookPath("lintian")
	if err != nil {
		t.Skip("lintian is not on this computer; make needs installs it")
	}
	b, err := exec.CommandContext(t.Context(), lintian, "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning",
		pack(t, "allmende"), pack(t, "allmende-gateway")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, b)
	}
}
