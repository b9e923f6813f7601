// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"sync"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
)

// register is the community's register while the coordinator runs. Nobody
// keeps the register that was there at the start: who needs it asks for the
// present one, and who keeps something that follows from it is told when it
// changes.
type register struct {
	// telling keeps followers from being told of two registers at once, or in
	// the wrong order.
	telling   sync.Mutex
	followers []func(roll.Community)

	mu      sync.RWMutex
	present roll.Community
}

func newRegister(c roll.Community) *register { return &register{present: c} }

// Current is the register in force now. It is a value that nobody may change.
func (r *register) Current() roll.Community {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.present
}

// At is the register that was, is or will be in force at an instant of world time.
func (r *register) At(energy.Instant) roll.Community { return r.Current() }

// Follow hands fn the present register at once, and each later one when it
// comes into force. fn must not wait.
func (r *register) Follow(fn func(roll.Community)) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.followers = append(r.followers, fn)
	fn(r.Current())
}
