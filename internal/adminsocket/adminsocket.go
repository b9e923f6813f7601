// SPDX-License-Identifier: AGPL-3.0-or-later

// Package adminsocket is the door for the operator on the coordinator's own
// computer: a Unix socket in the community's data folder that only its owner
// (and root) can open. Whoever can open it can read the data folder anyway, so
// it asks for nothing more.
package adminsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Name is the socket's name in the data folder.
const Name = "admin.sock"

// maxPath is the longest path that a Unix socket's address holds everywhere;
// Linux takes 107 bytes, others 103.
const maxPath = 103

// Listen makes the socket in dir. What an earlier coordinator left there is
// replaced: the caller holds the folder's lock, so no other one runs.
func Listen(ctx context.Context, dir string) (net.Listener, error) {
	l, err := listenIn(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", filepath.Join(dir, Name), err)
	}
	return l, nil
}

func listenIn(ctx context.Context, dir string) (_ net.Listener, err error) {
	final := filepath.Join(dir, Name)
	if info, err := os.Lstat(final); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, errors.New("something else has this name: move it away, it is not Allmende's")
	}
	// It is made in a folder that nobody else can enter, and moved to its place
	// when its mode is set: at no moment can another user open it.
	nursery, err := os.MkdirTemp(dir, ".admin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(nursery) //nolint:errcheck // it is empty by then, or the start fails
	address, done, err := short(nursery)
	if err != nil {
		return nil, err
	}
	defer done()
	inner, err := (&net.ListenConfig{}).Listen(ctx, "unix", address)
	if err != nil {
		return nil, err
	}
	inner.(*net.UnixListener).SetUnlinkOnClose(false) // it has another name soon
	made := filepath.Join(nursery, Name)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, final)); err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	return &listener{inner, final}, nil
}

// listener removes the socket when it closes.
type listener struct {
	net.Listener
	path string
}

// Close removes the socket, then stops listening.
func (l *listener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.Listener.Close())
}

// Dial opens the socket in dir. Its errors say what to do.
func Dial(ctx context.Context, dir string) (net.Conn, error) {
	path := filepath.Join(dir, Name)
	address, done, err := short(dir)
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	defer done()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", address)
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: nobody answers at %s", ErrNotRunning, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s may be opened by its owner only: run this as the user that runs the coordinator, such as sudo -u allmende", path)
	}
	return nil, fmt.Errorf("admin socket %s: %w", path, err)
}

// ErrNotRunning is wrapped where no coordinator listens.
var ErrNotRunning = errors.New("the coordinator does not run")

// short is an address for the socket in dir that fits into a Unix socket's. On
// Linux a folder that is open has a short name, however long its path is.
func short(dir string) (address string, done func(), err error) {
	path := filepath.Join(dir, Name)
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	proc := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if _, err := os.Stat(proc); err != nil {
		_ = f.Close() // it was only opened for its name
		return "", nil, fmt.Errorf("the path has %d bytes, a socket's may have %d: use a data folder with a shorter path", len(path), maxPath)
	}
	return filepath.Join(proc, Name), func() { _ = f.Close() }, nil
}
