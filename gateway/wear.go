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

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway/device"
	"github.com/allmende-energy/allmende/gateway/guard"
)

// wear keeps the flash-write budgets of all devices in a file, so that a gateway
// that starts over and over does not wear a device out. What is in the file is
// ahead of what was written: a few writes are reserved at a time, and those
// that a crash leaves unused count as made.
type wear struct {
	path string

	mu      sync.Mutex
	budgets map[roll.AssetID]map[device.Quantity]guard.Budget // as in the file
}

// wearFile lies beside the spool's segments: on a disk that keeps what was
// written, in a folder that the gateway may write to.
const wearFile = "writes.json"

const maxWearFile = 1 << 20

// reserve is how many writes are put into the file ahead.
const reserve = 16

// openWear reads the file. One that cannot be read counts as a full day's
// writes: better a device that waits than one that is worn out.
func openWear(dir string) (*wear, error) {
	w := &wear{path: filepath.Join(dir, wearFile), budgets: map[roll.AssetID]map[device.Quantity]guard.Budget{}}
	info, err := os.Stat(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return w, nil
	}
	if err == nil && info.Size() > maxWearFile {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(w.path)
	}
	if err == nil {
		err = json.Unmarshal(b, &w.budgets)
	}
	if err == nil && w.budgets == nil {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("the count of writes to flash memory, %s: %w; remove it if these devices were not commanded today", w.path, err)
	}
	return w, nil
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

// spend makes sure that the file has at least one write more than were made.
// It is asked before each write.
func (w *wear) spend(asset roll.AssetID, now map[device.Quantity]guard.Budget) error {
	if w == nil || len(now) == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ahead := true
	for q, b := range now {
		kept, ok := w.budgets[asset][q]
		ahead = ahead && ok && b.Spent < kept.Spent
	}
	if ahead {
		return nil
	}
	next := map[device.Quantity]guard.Budget{}
	for q, b := range now {
		b.Spent += min(reserve, max(int64(b.Most)/20, 1))
		next[q] = b
	}
	before := w.budgets[asset]
	w.budgets[asset] = next
	err := w.save()
	if err != nil {
		w.budgets[asset] = before // what is not in the file does not count as ahead
	}
	return err
}

// settle writes down what was made in truth, at the end.
func (w *wear) settle(asset roll.AssetID, now map[device.Quantity]guard.Budget) error {
	if w == nil || len(now) == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budgets[asset] = now
	return w.save()
}

// save replaces the file as a whole, durably.
func (w *wear) save() error {
	b, err := json.Marshal(w.budgets)
	if err != nil {
		return err
	}
	return replaceFile(w.path, b)
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
