// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/allmende-energy/allmende/energy"
)

// Bounds of a recording.
const (
	mostSchema = 4 << 20
	mostRows   = 200_000 // hours: 22 years
)

// recorded is a house that follows a recording, hour by hour; after its end it
// begins again. Within an hour the power is constant.
type recorded struct {
	hours []hourOf
	first int            // row that plays at start
	start energy.Instant // a full hour
}

type hourOf struct{ load, pv energy.Power }

// powers are those of the row that plays at at.
func (r *recorded) powers(at energy.Instant) (load, pv energy.Power) {
	n := int64(math.Floor(float64(at.Sub(r.start)) / float64(energy.Hour)))
	h := r.hours[mod(n+int64(r.first), int64(len(r.hours)))]
	return h.load, h.pv
}

// recordings keeps each folder's schema while a site is built.
type recordings map[string]*citySchema

// citySchema is what we use of CityLearn's schema.json.
type citySchema struct {
	Seconds   int64 `json:"seconds_per_time_step"`
	Buildings map[string]struct {
		File string `json:"energy_simulation"`
		PV   struct {
			Attributes struct {
				NominalPower float64 `json:"nominal_power"` // kW
			} `json:"attributes"`
		} `json:"pv"`
	} `json:"buildings"`
}

// open reads the recording of a building of the CityLearn challenge 2022:
// non_shiftable_load is kWh in the hour, solar_generation W for each kW
// installed, the size of the roof is in schema.json.
func (r recordings) open(p Profile, start energy.Instant) (*recorded, error) {
	schema, err := r.schema(p.Dir)
	if err != nil {
		return nil, err
	}
	b, ok := schema.Buildings[p.Building]
	if !ok {
		return nil, fmt.Errorf("%s has no building %s: check the profile's dir and building", filepath.Join(p.Dir, "schema.json"), p.Building)
	}
	if b.File == "" || b.File != filepath.Base(b.File) {
		return nil, fmt.Errorf("building %s: schema.json names no file beside it", p.Building)
	}
	kilowatts := b.PV.Attributes.NominalPower
	if kilowatts < 0 || kilowatts > 1000 {
		return nil, fmt.Errorf("building %s: a roof of %g kW", p.Building, kilowatts)
	}
	hours, err := readHours(filepath.Join(p.Dir, b.File), kilowatts)
	if err != nil {
		return nil, err
	}
	if p.Start != 0 {
		start = p.Start
	}
	return &recorded{hours: hours, first: p.StartHour, start: start}, nil
}

func (r recordings) schema(dir string) (*citySchema, error) {
	if s, ok := r[dir]; ok {
		return s, nil
	}
	f, err := os.Open(filepath.Join(dir, "schema.json"))
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	var s citySchema
	if err := json.NewDecoder(io.LimitReader(f, mostSchema)).Decode(&s); err != nil {
		return nil, fmt.Errorf("recording: %s: %w", f.Name(), err)
	}
	if s.Seconds != 3600 {
		return nil, fmt.Errorf("recording: %s: steps of %d s, but only hours are read", f.Name(), s.Seconds)
	}
	r[dir] = &s
	return &s, nil
}

func readHours(path string, kilowatts float64) ([]hourOf, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	rows := csv.NewReader(f)
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("recording: %s: %w", path, err)
	}
	load, pv := -1, -1
	for i, name := range head {
		switch name {
		case "non_shiftable_load":
			load = i
		case "solar_generation":
			pv = i
		}
	}
	if load < 0 || pv < 0 {
		return nil, fmt.Errorf("recording: %s: no columns non_shiftable_load and solar_generation", path)
	}
	var hours []hourOf
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) && len(hours) > 0 {
			return hours, nil
		}
		if err != nil {
			return nil, fmt.Errorf("recording: %s: %w", path, err)
		}
		h := hourOf{load: milliwatts(row[load], 1e6), pv: milliwatts(row[pv], 1e3*kilowatts)}
		if h.load < 0 || h.pv < 0 || len(hours) == mostRows {
			return nil, fmt.Errorf("recording: %s: row %d: not a plausible house", path, len(hours)+2)
		}
		hours = append(hours, h)
	}
}

// milliwatts is text times factor, rounded; −1 if it is no plausible number. A
// kilowatt-hour in an hour is a million of them.
func milliwatts(text string, factor float64) energy.Power {
	v, err := strconv.ParseFloat(text, 64)
	if v *= factor; err != nil || !(v >= 0 && v <= float64(mostPower)) {
		return -1
	}
	return energy.Power(math.Round(v))
}
