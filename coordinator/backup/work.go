// SPDX-License-Identifier: AGPL-3.0-or-later

package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// SchemaFolder is where the coordinator keeps the databases from before
// upgrades, in its data folder. They are no part of a backup.
const SchemaFolder = "backups"

// LastFile remembers, in the data folder, when the last backup was made.
const LastFile = "last-backup.json"

// workPrefix names folders that exist while a backup is made.
const workPrefix = ".backup-"

// workFolder is a folder for copies, beside the database that they are of: it is
// as secret as that, and on a disk of the same size. done removes it. What a
// backup that was killed left there goes first.
func workFolder(data string) (dir string, done func(), err error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return "", nil, fmt.Errorf("data folder: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(data, workPrefix+"*"))
	if err != nil {
		return "", nil, err
	}
	for _, l := range left {
		if unlock, err := lockFolder(l); err == nil {
			_ = os.RemoveAll(l) // it is tried again next time
			unlock()
		}
	}
	if dir, err = os.MkdirTemp(data, workPrefix); err != nil {
		return "", nil, fmt.Errorf("making room for a copy: %w", explain(err))
	}
	unlock, err := lockFolder(dir)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() {
		_ = os.RemoveAll(dir) // what stays is removed by the next backup
		unlock()
	}, nil
}

// Last is what is remembered of the last backup.
type Last struct {
	At        time.Time `json:"at"`
	File      string    `json:"file"`
	Bytes     int64     `json:"bytes"`
	SHA256    string    `json:"sha256"`
	Encrypted bool      `json:"encrypted"`
	Leaves    int64     `json:"leaves"`
}

// remember notes the backup in the data folder. It is for `allmende doctor`
// alone; where it cannot be written, the backup is no worse.
func remember(data string, r Result) {
	file, err := filepath.Abs(r.File)
	if err != nil {
		file = r.File
	}
	b, err := json.MarshalIndent(Last{r.Manifest.Created, file, r.Bytes, r.SHA256, r.Encrypted, r.Manifest.Ledger.Leaves}, "", "  ")
	if err != nil {
		return
	}
	path := filepath.Join(data, LastFile)
	if os.WriteFile(path+".partial", append(b, '\n'), 0o600) == nil {
		_ = os.Rename(path+".partial", path)
	}
}

// ReadLast is the last backup that was made of the community whose data folder
// it is; ok is false where none was.
func ReadLast(data string) (last Last, ok bool, err error) {
	b, err := readSmall(filepath.Join(data, LastFile))
	if errors.Is(err, os.ErrNotExist) {
		return Last{}, false, nil
	}
	if err != nil {
		return Last{}, false, err
	}
	if err := json.Unmarshal(b, &last); err != nil {
		return Last{}, false, fmt.Errorf("%s: %w", LastFile, err)
	}
	return last, true, nil
}

// explain adds what to do about a full disk.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free some space there, or name another disk", err)
	}
	return err
}

func isInvalid(err error) bool { return errors.Is(err, syscall.EINVAL) }
