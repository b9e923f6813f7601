// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
)

// wear keeps the flash-write budgets of all devices in a file, so that a gateway
// that starts over and over does not wear a device out. What is in the file is
// ahead of what was written: a few writes are reserved at a time, and those
// that a crash leaves unused count as made.
//
// A write that adds waits for its reservation. One that takes away never does:
// it is counted as soon as the disk allows.
type wear struct {
	path string
	disk scribe
	save func(path string, b []byte) error // replaceFile, or a test's disk

	mu      sync.Mutex
	budgets map[roll.AssetID]map[device.Quantity]guard.Budget // as in the file
	damaged error                                             // the file is there and does not tell
}

// wearFile lies beside the spool's segments: on a disk that keeps what was
// written, in a folder that the gateway may write to.
const wearFile = "writes.json"

const maxWearFile = 1 << 20

// reserve is how many writes are put into the file ahead.
const reserve = 16

// openWear reads the file. With one that cannot be read nothing is added to what
// devices with such memory do: better a device that waits than one that is worn out.
func openWear(dir string, within time.Duration) *wear {
	w := &wear{path: filepath.Join(dir, wearFile), disk: scribe{within: within}, save: replaceFile}
	w.budgets, w.damaged = readWear(w.path)
	return w
}

func readWear(path string) (map[roll.AssetID]map[device.Quantity]guard.Budget, error) {
	budgets := map[roll.AssetID]map[device.Quantity]guard.Budget{}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return budgets, nil
	}
	if err == nil && info.Size() > maxWearFile {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err == nil {
		err = json.Unmarshal(b, &budgets)
	}
	if err == nil && budgets == nil {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("the count of writes to flash memory can't be read from %s: %w", path, err)
	}
	return budgets, nil
}

// mendWear is what a person does about a file that can't be read.
func mendWear(path string) string {
	return fmt.Sprintf("stop the gateway, remove %s if its devices were not commanded much today, and start it again", path)
}

// of are the budgets of a device as the file has them.
func (w *wear) of(asset roll.AssetID) map[device.Quantity]guard.Budget {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.budgets[asset])
}

// spend makes sure that the file has at least one write more than were made. It
// is asked before each write that adds, and waits for the disk within bounds.
func (w *wear) spend(asset roll.AssetID, now map[device.Quantity]guard.Budget) error {
	if w == nil || len(now) == 0 || w.ahead(asset, now) {
		return nil
	}
	if w.damaged != nil {
		return fmt.Errorf("%w; `allmende gateway doctor` says how to mend it", w.damaged)
	}
	return w.disk.do(func() error { return w.write(asset, ahead(now)) })
}

// note counts a write that takes away. It never waits, and never refuses.
func (w *wear) note(asset roll.AssetID, now map[device.Quantity]guard.Budget) {
	if w == nil || len(now) == 0 || w.damaged != nil || w.ahead(asset, now) {
		return
	}
	w.disk.start(func() error { return w.write(asset, ahead(now)) })
}

// settle writes down what was made in truth, at the end.
func (w *wear) settle(asset roll.AssetID, now map[device.Quantity]guard.Budget) error {
	if w == nil || len(now) == 0 {
		return nil
	}
	if w.damaged != nil {
		return w.damaged
	}
	return w.disk.do(func() error { return w.write(asset, now) })
}

// ahead says whether the file has more writes than were made.
func (w *wear) ahead(asset roll.AssetID, now map[device.Quantity]guard.Budget) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q, b := range now {
		if kept, ok := w.budgets[asset][q]; !ok || b.Spent >= kept.Spent {
			return false
		}
	}
	return true
}

// ahead are budgets with a few writes reserved.
func ahead(now map[device.Quantity]guard.Budget) map[device.Quantity]guard.Budget {
	next := map[device.Quantity]guard.Budget{}
	for q, b := range now {
		b.Spent += min(reserve, max(int64(b.Most)/20, 1))
		next[q] = b
	}
	return next
}

// write is the scribe's job: it replaces the file as a whole, durably. What is
// not in the file does not count as ahead.
func (w *wear) write(asset roll.AssetID, of map[device.Quantity]guard.Budget) error {
	w.mu.Lock()
	next := maps.Clone(w.budgets)
	w.mu.Unlock()
	next[asset] = of
	b, err := json.Marshal(next)
	if err == nil {
		err = w.save(w.path, b)
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budgets = next
	return nil
}

func replaceFile(path string, b []byte) error {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // it was only read
	return dir.Sync()
}
