// SPDX-License-Identifier: AGPL-3.0-or-later

// Package citylearn reads the recorded homes of the CityLearn challenge 2022
// (MIT licence): hourly load and sun of real houses in Fontana, California.
//
// A folder holds schema.json (which buildings, how large their roofs and
// batteries are) and one CSV file a building and one with prices. In them,
// non_shiftable_load is the kWh used in an hour and solar_generation the watts
// per installed kilowatt; the roof's size is the schema's nominal_power. Source:
// https://github.com/intelligent-environments-lab/CityLearn.
package citylearn

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/allmende-energy/allmende/energy"
)

// Bounds on what a folder may hold; the published one has 17 buildings of 8,760 hours.
const (
	maxBuildings = 1_000
	maxHours     = 100 * 8_784
	maxKWh       = 10_000 // in one hour of one building
	maxSchema    = 16 << 20
)

// Building is one house's record.
type Building struct {
	ID              string
	Load            []energy.Energy // used in each hour
	Sun             []energy.Energy // made in each hour
	Nominal         energy.Power    // of the roof
	BatteryCapacity energy.Energy
	BatteryPower    energy.Power
	// RoundTripMillionths is the battery's efficiency in and out together.
	RoundTripMillionths int64
}

// Recording is a folder's content. All buildings have the same number of hours.
type Recording struct {
	Buildings []Building     // in the natural order of their ids
	Prices    []energy.Price // of grid import, for each hour
}

// Hours is the length of the recording.
func (r *Recording) Hours() int { return len(r.Prices) }

// Building is the house with this id.
func (r *Recording) Building(id string) (*Building, error) {
	for i := range r.Buildings {
		if r.Buildings[i].ID == id {
			return &r.Buildings[i], nil
		}
	}
	return nil, fmt.Errorf("citylearn: no building %q in schema.json", id)
}

type schema struct {
	Buildings map[string]struct {
		Include          bool   `json:"include"`
		EnergySimulation string `json:"energy_simulation"`
		Pricing          string `json:"pricing"`
		PV               struct {
			Attributes struct {
				NominalPower float64 `json:"nominal_power"`
			} `json:"attributes"`
		} `json:"pv"`
		Storage struct {
			Attributes struct {
				Capacity     float64 `json:"capacity"`
				Efficiency   float64 `json:"efficiency"`
				NominalPower float64 `json:"nominal_power"`
			} `json:"attributes"`
		} `json:"electrical_storage"`
	} `json:"buildings"`
}

// Read reads all buildings that the schema includes. only, if any are given,
// limits it to those ids. Every refusal names file, line and column.
func Read(folder fs.FS, only ...string) (*Recording, error) {
	sch, err := readSchema(folder)
	if err != nil {
		return nil, err
	}
	var rec Recording
	prices := ""
	for id, b := range sch.Buildings {
		if !b.Include || (len(only) > 0 && !slices.Contains(only, id)) {
			continue
		}
		pv, st := b.PV.Attributes, b.Storage.Attributes
		if bad(pv.NominalPower, 10_000) || bad(st.Capacity, 100_000) || bad(st.NominalPower, 10_000) || bad(st.Efficiency, 1) {
			return nil, fmt.Errorf("citylearn: schema.json: building %q has a size or efficiency out of range", id)
		}
		building := Building{
			ID: id, Nominal: energy.Power(scale(pv.NominalPower)),
			BatteryCapacity: energy.Energy(scale(st.Capacity)), BatteryPower: energy.Power(scale(st.NominalPower)),
			RoundTripMillionths: scale(st.Efficiency),
		}
		if err := building.read(folder, b.EnergySimulation); err != nil {
			return nil, err
		}
		if prices == "" {
			prices = b.Pricing
		}
		if b.Pricing != prices {
			return nil, fmt.Errorf("citylearn: schema.json: building %q has a price file of its own, %q; one for all is supported", id, b.Pricing)
		}
		rec.Buildings = append(rec.Buildings, building)
	}
	if len(rec.Buildings) == 0 {
		return nil, fmt.Errorf("citylearn: schema.json includes none of the buildings asked for (%s)", strings.Join(only, ", "))
	}
	slices.SortFunc(rec.Buildings, func(a, b Building) int { return naturally(a.ID, b.ID) })
	rec.Prices, err = readPrices(folder, prices)
	if err != nil {
		return nil, err
	}
	for _, b := range rec.Buildings {
		if len(b.Load) != len(rec.Prices) {
			return nil, fmt.Errorf("citylearn: building %q has %d hours, %s has %d", b.ID, len(b.Load), prices, len(rec.Prices))
		}
	}
	return &rec, nil
}

func readSchema(folder fs.FS) (schema, error) {
	var s schema
	f, err := folder.Open("schema.json")
	if err != nil {
		return s, fmt.Errorf("citylearn: %w; is this the folder of a CityLearn data set?", err)
	}
	defer f.Close()
	// The file describes much that is not read here: unknown fields are its own business.
	if err := json.NewDecoder(io.LimitReader(f, maxSchema)).Decode(&s); err != nil {
		return s, fmt.Errorf("citylearn: schema.json: %w", err)
	}
	if len(s.Buildings) == 0 || len(s.Buildings) > maxBuildings {
		return s, fmt.Errorf("citylearn: schema.json names %d buildings, 1 to %d are supported", len(s.Buildings), maxBuildings)
	}
	return s, nil
}

func (b *Building) read(folder fs.FS, name string) error {
	perKW := float64(b.Nominal) / float64(energy.Kilowatt) / 1000 // W per kW → kWh an hour
	return readCSV(folder, name, []string{"non_shiftable_load", "solar_generation"}, func(v []float64) error {
		if bad(v[0], maxKWh) || bad(v[1]*perKW, maxKWh) {
			return errors.New("a value is negative or beyond any house")
		}
		b.Load = append(b.Load, energy.Energy(scale(v[0])))
		b.Sun = append(b.Sun, energy.Energy(scale(v[1]*perKW)))
		return nil
	})
}

func readPrices(folder fs.FS, name string) ([]energy.Price, error) {
	var prices []energy.Price
	err := readCSV(folder, name, []string{"electricity_pricing"}, func(v []float64) error {
		if bad(v[0], 1_000) {
			return errors.New("a price is negative or beyond belief")
		}
		prices = append(prices, energy.Price{Micro: scale(v[0] * 100), Currency: "USD"})
		return nil
	})
	return prices, err
}

// readCSV calls row with the named columns of each line.
func readCSV(folder fs.FS, name string, columns []string, row func([]float64) error) error {
	if name == "" || !filepath.IsLocal(name) {
		return fmt.Errorf("citylearn: schema.json names the file %q, which is not in this folder", name)
	}
	f, err := folder.Open(name)
	if err != nil {
		return fmt.Errorf("citylearn: %w", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("citylearn: %s: %w", name, err)
	}
	at := make([]int, len(columns))
	for i, c := range columns {
		if at[i] = slices.Index(head, c); at[i] < 0 {
			return fmt.Errorf("citylearn: %s has no column %q", name, c)
		}
	}
	values := make([]float64, len(columns))
	for line := 2; ; line++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("citylearn: %s: %w", name, err)
		}
		if line > maxHours {
			return fmt.Errorf("citylearn: %s has more than %d hours", name, maxHours)
		}
		for i := range columns {
			if values[i], err = strconv.ParseFloat(record[at[i]], 64); err != nil {
				return fmt.Errorf("citylearn: %s, line %d, %s: %q is not a number", name, line, columns[i], record[at[i]])
			}
		}
		if err := row(values); err != nil {
			return fmt.Errorf("citylearn: %s, line %d: %w", name, line, err)
		}
	}
}

// scale turns kilo into milli: kWh to mWh, kW to mW, and a fraction to millionths.
func scale(v float64) int64 { return int64(math.Round(v * 1e6)) }

func bad(v, most float64) bool { return math.IsNaN(v) || v < 0 || v > most }

// naturally orders Building_2 before Building_10.
func naturally(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
