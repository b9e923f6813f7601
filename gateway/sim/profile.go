// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"os"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/meters/citylearn"
)

// recorded is a house that follows a recording, hour by hour; after its end it
// begins again. Within an hour the power is constant.
type recorded struct {
	load, sun []energy.Energy // of each hour
	first     int             // row that plays at start
	start     energy.Instant
}

// openRecording reads the recording of one building. first is the hour in which
// the site was first started.
func openRecording(p Profile, first energy.Instant) (*recorded, error) {
	rec, err := citylearn.Read(os.DirFS(p.Dir), p.Building)
	if err != nil {
		return nil, fmt.Errorf("profile in %s: %w", p.Dir, err)
	}
	b, err := rec.Building(p.Building)
	if err != nil {
		return nil, fmt.Errorf("profile in %s: %w", p.Dir, err)
	}
	if len(b.Load) == 0 || len(b.Load) != len(b.Sun) {
		return nil, fmt.Errorf("profile in %s: building %s: %w", p.Dir, p.Building, errors.New("no hours"))
	}
	r := &recorded{load: b.Load, sun: b.Sun, first: p.StartHour, start: first}
	if p.Start != 0 {
		r.start = p.Start
	}
	return r, nil
}

// powers are those of the row that plays at at: so many milliwatt-hours in an
// hour are so many milliwatts.
func (r *recorded) powers(at energy.Instant) (load, pv energy.Power) {
	since := at.Sub(r.start)
	hour := int64(since) / int64(energy.Hour)
	if since < 0 && since%energy.Hour != 0 {
		hour--
	}
	row := mod(hour+int64(r.first), int64(len(r.load)))
	return r.load[row].MeanPower(energy.Hour), r.sun[row].MeanPower(energy.Hour)
}
