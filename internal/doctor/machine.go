// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Bounds below which a disk is low, and below which work stops soon.
const (
	lowSpace    = 1 << 30
	lowPercent  = 10
	lastSpace   = 200 << 20
	lastPercent = 2
	lowInodes   = 5 // percent
	lowMemory   = 100 << 20
)

// Clock looks whether this computer's clock is kept right, and whether it stands
// before what is known to have passed.
func Clock(now time.Time) Check {
	return Check{Name: "clock", Look: func(context.Context) []Finding {
		const mend = "timedatectl set-ntp true, then wait for timedatectl to say \"synchronized: yes\""
		first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if now.Before(first) {
			return []Finding{Ill(mend, "it says %s, which is over", now.Format(time.DateOnly))}
		}
		synchronised, off, err := kernelClock()
		switch {
		case err != nil:
			return []Finding{Worry("see that something keeps it right: "+mend, "it says %s; whether it is synchronised cannot be seen here (%v)", now.UTC().Format(time.DateTime), err)}
		case !synchronised:
			return []Finding{Worry(mend, "it says %s, and nothing keeps it right: meters are read by this clock", now.UTC().Format(time.DateTime))}
		}
		return []Finding{Well("it is synchronised, off by at most %s", off.Round(time.Millisecond))}
	}}
}

// disk is what there is under a path.
type disk struct {
	size, free         int64
	inodes, freeInodes int64 // 0 inodes: the file system counts none
	remote             string
	id                 string // of the file system
}

// Space looks at the disks under paths, each disk once.
func Space(paths ...string) Check {
	return Check{Name: "disk space", Look: func(context.Context) (found []Finding) {
		var seen []string
		for _, path := range paths {
			there := nearest(path)
			d, err := diskUnder(there)
			if err != nil {
				found = append(found, Ill("see dmesg and mount", "%s: %v", path, err))
				continue
			}
			if d.id != "" && slices.Contains(seen, d.id) {
				continue
			}
			seen = append(seen, d.id)
			found = append(found, d.findings(path)...)
		}
		return found
	}}
}

// nearest is the path itself, or the folder above it that is there.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func (d disk) findings(path string) (found []Finding) {
	const mend = "free some there: journalctl --vacuum-size=200M, apt-get clean, old backups to another disk"
	percent := int64(100)
	if d.size > 0 {
		percent = 100 * d.free / d.size
	}
	text := fmt.Sprintf("%s: %s free of %s (%d %%)", path, megabytes(d.free), megabytes(d.size), percent)
	switch {
	case d.free < lastSpace || percent < lastPercent:
		found = append(found, Ill(mend, "%s", text))
	case d.free < lowSpace || percent < lowPercent:
		found = append(found, Worry(mend, "%s", text))
	default:
		found = append(found, Well("%s", text))
	}
	if d.inodes > 0 && 100*d.freeInodes/d.inodes < lowInodes {
		found = append(found, Ill("something made very many files there; find it with: du --inodes -xd2 "+path+" | sort -n | tail", "%s: %d of %d inodes are free, so that few new files can be made", path, d.freeInodes, d.inodes))
	}
	if d.remote != "" {
		found = append(found, Ill("move the folder to a disk of this computer, and name it there", "%s is on a network file system (%s), which forgets locks and says that data are written before they are", path, d.remote))
	}
	return found
}

func megabytes(n int64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// Memory looks at what programs can still have.
func Memory() Check {
	return Check{Name: "memory", Look: func(context.Context) []Finding {
		total, available, err := memory()
		switch {
		case err != nil:
			return []Finding{Well("it cannot be seen here (%v)", err)}
		case available < lowMemory:
			return []Finding{Worry("see what takes it: ps aux --sort=-rss | head; end that, or add swap", "%s of %s are available", megabytes(available), megabytes(total))}
		}
		return []Finding{Well("%s of %s are available", megabytes(available), megabytes(total))}
	}}
}

// Zone looks whether a time zone's rules are there.
func Zone(zone string, now time.Time) Check {
	return Check{Name: "time zone", Look: func(context.Context) []Finding {
		at, err := time.LoadLocation(zone)
		if err != nil {
			return []Finding{Ill("write an IANA name, such as Europe/Vienna; or install the rules: apt-get install tzdata", "%q: %v", zone, err)}
		}
		return []Finding{Well("%s, where it is %s", zone, now.In(at).Format("15:04 on 2 January 2006"))}
	}}
}
