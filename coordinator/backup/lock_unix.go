// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build unix

package backup

import (
	"os"
	"syscall"
)

// lockFolder marks a folder as in use by this process; it fails where another
// one has. The kernel lets go of it when the process dies.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // the refusal is what matters
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// free is how much space there is for us under a path.
func free(path string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // an int32 on some machines
}
