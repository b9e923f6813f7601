// SPDX-License-Identifier: AGPL-3.0-or-later

package adminsocket_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/internal/adminsocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers says whether somebody greets at the socket in dir.
func answers(t *testing.T, dir string, l net.Listener) {
	t.Helper()
	greeted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("hello"))
			conn.Close()
		}
		greeted <- err
	}()
	conn, err := adminsocket.Dial(t.Context(), dir)
	if err != nil {
		l.Close()
		t.Fatal(err)
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	if err := <-greeted; err != nil {
		t.Error(err)
	}
}

func TestOnlyTheOwnerMayOpenIt(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := adminsocket.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, adminsocket.Name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	answers(t, dir, l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// A coordinator that was killed leaves its socket behind.
func TestAStaleSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	dead, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, adminsocket.Name))
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	if _, err := adminsocket.Dial(t.Context(), dir); !errors.Is(err, adminsocket.ErrNotRunning) {
		t.Errorf("a dead coordinator: %v", err)
	}
	l, err := adminsocket.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers(t, dir, l)
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, adminsocket.Name)
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := adminsocket.Listen(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("%q, %v", b, err)
	}
}

// A path may be longer than a socket's address holds.
func TestAPathOfAnyLength(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("only Linux gives an open folder a short name")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-", 30), strings.Repeat("longer-", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := adminsocket.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	answers(t, dir, l)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestNobodyThere(t *testing.T) {
	if _, err := adminsocket.Dial(t.Context(), t.TempDir()); !errors.Is(err, adminsocket.ErrNotRunning) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := adminsocket.Dial(ctx, t.TempDir()); err == nil {
		t.Error("dialled after the end")
	}
	if os.Getuid() == 0 {
		return // root may open everything
	}
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, adminsocket.Name), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := adminsocket.Dial(t.Context(), dir); err == nil {
		t.Error("dialled what may not be opened")
	}
}
