// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timesynced is made by systemd-timesyncd and others when the clock was set.
const timesynced = "/run/systemd/timesync/synchronized"

// kernelClock is whether the kernel's clock is kept right, and its bound of error.
func kernelClock() (synchronised bool, off time.Duration, err error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, 0, err
	}
	off = time.Duration(t.Maxerror) * time.Microsecond
	if state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 {
		return true, off, nil
	}
	// In a container the host keeps the clock; some clients set it and leave the mark.
	if _, err := os.Stat(timesynced); err == nil {
		return true, off, nil
	}
	return false, off, nil
}

func diskUnder(path string) (disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return disk{}, err
	}
	block := int64(s.Frsize) //nolint:unconvert // an int32 on some machines
	return disk{
		size: int64(s.Blocks) * block, free: int64(s.Bavail) * block,
		inodes: int64(s.Files), freeInodes: int64(s.Ffree),
		remote: remoteKind(int64(s.Type)), //nolint:unconvert // as above
		id:     fmt.Sprint(s.Fsid.Val, s.Blocks),
	}, nil
}

// remoteKind names a file system of another computer.
func remoteKind(kind int64) string {
	switch uint32(kind) {
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "SMB"
	case unix.CEPH_SUPER_MAGIC:
		return "Ceph"
	}
	return ""
}

func memory() (total, available int64, err error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 {
			total = kib << 10
		}
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			available = kib << 10
		}
	}
	if total == 0 {
		return 0, 0, errors.New("/proc/meminfo says nothing")
	}
	return total, available, lines.Err()
}

func mayWrite(path string) bool { return unix.Access(path, unix.W_OK|unix.X_OK) == nil }

// MayUse says whether this user may read and write a device.
func MayUse(path string) error { return unix.Access(path, unix.R_OK|unix.W_OK) }
