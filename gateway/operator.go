// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"slices"
	"sync"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/guard"
)

// GridContact is a grid operator's limit that comes as a digital contact.
type GridContact struct {
	Contact  roll.AssetID // the device of kind contact
	Limited  string       // its state while the limit holds
	Free     string       // and while it does not; any other counts as not heard
	Devices  []roll.AssetID
	Limit    guard.GridLimit // for each of the devices
	Failsafe guard.GridLimit // while the contact can't be read
	// Heartbeat is how long the contact may be silent, Hold how long the
	// failsafe holds after that.
	Heartbeat, Hold energy.Span
}

// gridOperator is what the contacts say. Contacts and devices may be on
// different buses. A nil one asks for nothing.
type gridOperator struct {
	mu       sync.Mutex
	contacts []*gridContact
}

type gridContact struct {
	GridContact
	state *guard.Contact
}

func newGridOperator(contacts []GridContact, born guard.Stamp) *gridOperator {
	o := &gridOperator{}
	for _, c := range contacts {
		o.contacts = append(o.contacts, &gridContact{c, guard.NewContact(c.Limit, c.Failsafe, c.Heartbeat, c.Hold, born)})
	}
	return o
}

// heard takes what a device showed, if it is a contact. A state that it should
// not have counts as silence.
func (o *gridOperator) heard(asset roll.AssetID, state string, now guard.Stamp) {
	if o == nil || state == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.contacts {
		if c.Contact == asset && (state == c.Limited || state == c.Free) {
			c.state.Heard(state == c.Limited, now)
		}
	}
}

// allows is what all contacts leave a device.
func (o *gridOperator) allows(asset roll.AssetID, now guard.Stamp) guard.GridLimit {
	l := guard.FreeGrid()
	if o == nil {
		return l
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.contacts {
		if slices.Contains(c.Devices, asset) {
			l = l.And(c.state.Allows(now))
		}
	}
	return l
}
