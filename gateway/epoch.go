// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/gateway/guard"
)

// epochs keeps the highest epoch that this gateway has heard of, over restarts:
// an owner of the community who was replaced while the gateway was off, and does
// not know it, must not be obeyed when it comes back.
//
// An epoch is on the disk before its first command is acted on. Where it can't
// be put there nothing is commanded, and the gateway goes on measuring; what
// only takes away is obeyed all the same.
type epochs struct {
	path string
	disk scribe
	save func(path string, b []byte) error // replaceFile, or a test's disk

	mu      sync.Mutex
	heard   uint64
	kept    uint64 // is in the file
	damaged error  // the file is there and does not tell
	failed  error  // of the latest try to write it
}

// epochFile lies beside the spool's segments, as [wearFile] does.
const epochFile = "epoch"

const maxEpochFile = 200

// openEpochs reads the file. Where there is none no epoch was heard of. One that
// can't be read keeps the gateway from commanding, not from measuring.
func openEpochs(dir string, within time.Duration) *epochs {
	e := &epochs{path: filepath.Join(dir, epochFile), disk: scribe{within: within}, save: replaceFile}
	e.kept, e.damaged = readEpoch(e.path)
	e.heard = e.kept
	return e
}

// readEpoch is 0 where there is no file.
func readEpoch(path string) (uint64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err == nil && info.Size() > maxEpochFile {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	var epoch uint64
	if err == nil {
		epoch, err = decodeEpoch(b)
	}
	if err != nil {
		return 0, fmt.Errorf("the highest epoch that was heard of can't be read from %s: %w", path, err)
	}
	return epoch, nil
}

// mendEpoch is what a person does about a file that can't be read.
func mendEpoch(path string) string {
	return fmt.Sprintf("make sure that one coordinator alone commands this community, stop the gateway, remove %s and start it again: it then takes the epoch from its coordinator", path)
}

const epochWord = "allmende-epoch-1"

// encodeEpoch is one line with a checksum: a digit that flips must not pass for
// another epoch.
func encodeEpoch(epoch uint64) []byte {
	line := fmt.Sprintf("%s %d", epochWord, epoch)
	return fmt.Appendf(nil, "%s %08x\n", line, crc32.Checksum([]byte(line), crc32.MakeTable(crc32.Castagnoli)))
}

func decodeEpoch(b []byte) (uint64, error) {
	words := strings.Fields(string(b))
	if len(words) != 3 || words[0] != epochWord {
		return 0, errors.New("it is damaged")
	}
	epoch, err := strconv.ParseUint(words[1], 10, 64)
	if err != nil || epoch > guard.MaxEpoch || !bytes.Equal(encodeEpoch(epoch), b) {
		return 0, errors.New("it is damaged")
	}
	return epoch, nil
}

// hear notes an epoch and puts the highest on the disk. It waits for that, within
// the bounds of its [scribe]; it runs on the goroutine of the stream.
func (e *epochs) hear(epoch uint64) {
	if e == nil || epoch > guard.MaxEpoch {
		return
	}
	e.mu.Lock()
	e.heard = max(e.heard, epoch)
	due := e.heard > e.kept && e.damaged == nil
	e.mu.Unlock()
	if !due {
		return
	}
	err := e.disk.do(e.write)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = err
	if e.heard <= e.kept {
		e.failed = nil
	}
}

// write is the scribe's job.
func (e *epochs) write() error {
	e.mu.Lock()
	epoch := e.heard
	e.mu.Unlock()
	err := e.save(e.path, encodeEpoch(epoch))
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.kept = max(e.kept, epoch)
	}
	return err
}

// highest is the highest epoch that was heard of.
func (e *epochs) highest() uint64 {
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

// covers says why commands of an epoch can't be acted on, nil where they can.
func (e *epochs) covers(epoch uint64) error {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.damaged != nil:
		return fmt.Errorf("%w; `allmende gateway doctor` says how to mend it", e.damaged)
	case epoch > e.kept:
		return fmt.Errorf("epoch %d can't be kept on the disk: %w", epoch, orNotYet(e.failed))
	}
	return nil
}

// problem is what is wrong, for people; empty if all is well.
func (e *epochs) problem() string {
	if err := e.covers(e.highest()); err != nil {
		return "nothing is commanded: " + err.Error()
	}
	return ""
}

func orNotYet(err error) error {
	if err == nil {
		return errors.New("it was not tried yet")
	}
	return err
}

// Kept is a small file of the gateway's that was looked at.
type Kept struct {
	Path string
	Says string
	Err  error  // it can't be read
	Mend string // where Err is not nil
}

// KeptEpoch looks at what is kept of epochs in a spool's folder.
func KeptEpoch(dir string) Kept {
	k := Kept{Path: filepath.Join(dir, epochFile)}
	epoch, err := readEpoch(k.Path)
	switch {
	case err != nil:
		k.Err, k.Mend = err, mendEpoch(k.Path)
	case epoch == 0:
		k.Says = "no coordinator was heard of yet"
	default:
		k.Says = fmt.Sprintf("no coordinator of an epoch below %d is obeyed", epoch)
	}
	return k
}

// KeptWrites looks at the count of writes to flash memory.
func KeptWrites(dir string) Kept {
	k := Kept{Path: filepath.Join(dir, wearFile), Says: "the count of writes to flash memory can be read"}
	if _, err := readWear(k.Path); err != nil {
		k.Err, k.Mend = err, mendWear(k.Path)
	}
	return k
}
