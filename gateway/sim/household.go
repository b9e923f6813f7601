// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"hash/fnv"
	"math"

	"github.com/allmende-energy/allmende/energy"
	"github.com/allmende-energy/allmende/gateway/sun"
)

// synthetic is a made-up house. Weather and habits are functions of seed and
// time alone: nothing is remembered, so nothing depends on when it was asked.
type synthetic struct {
	site  *Site
	house *House
	seed  uint64 // of the house; the sky has the site's
}

func newSynthetic(site *Site, house *House) *synthetic {
	h := fnv.New64a()
	_, _ = h.Write([]byte(house.ID)) // never fails
	return &synthetic{site: site, house: house, seed: mix(site.Seed, h.Sum64())}
}

// powers are constant for a step that begins at at.
func (s *synthetic) powers(at energy.Instant) (load, pv energy.Power) {
	if s.house.Load != nil {
		load = household(s.seed, at, s.site.Longitude, s.house.Load.PerYear)
	}
	if s.house.PV != nil {
		cosZenith, azimuth := sun.Position(at, s.site.Latitude, s.site.Longitude)
		if cosZenith > 0 {
			cover := clouds(s.site.Seed, at)
			flat := clearSky(cosZenith) * throughClouds(cover)
			pv = yield(s.house.PV, tilted(flat, cover, cosZenith, azimuth, s.house.PV))
		}
	}
	return load, pv
}

// mix is splitmix64's finalizer over both (Steele, Lea and Flood 2014): a good
// hash of two numbers.
func mix(a, b uint64) uint64 {
	z := a + 0x9e3779b97f4a7c15*(b+1)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// uniform is a number in [0, 1) for slot n of stream k.
func uniform(seed, k uint64, n int64) float64 {
	return float64(mix(mix(seed, k), uint64(n))>>11) / (1 << 53)
}

// drift is a smooth random curve in [0, 1) with a new value every period.
func drift(seed, k uint64, at energy.Instant, period energy.Span) float64 {
	n, rest := int64(at)/int64(period), int64(at)%int64(period)
	x := float64(rest) / float64(period)
	x = x * x * (3 - 2*x)
	return uniform(seed, k, n)*(1-x) + uniform(seed, k, n+1)*x
}

// Streams of random numbers, one for each thing that varies by itself.
const (
	streamDay = iota
	streamHours
	streamMinutes
	streamBase
	streamAppliance
)

// clouds is the cover of the sky in [0, 1]: fair and dull spells of days, with
// clouds that pass in an hour and in minutes.
func clouds(seed uint64, at energy.Instant) float64 {
	spell := drift(seed, streamDay, at, 30*energy.Hour)
	hours := drift(seed, streamHours, at, 80*energy.Minute)
	minutes := drift(seed, streamMinutes, at, 4*energy.Minute)
	cover := 2.4*spell - 0.35 + 0.6*(hours-0.5) + 0.35*(minutes-0.5)
	return min(max(cover, 0), 1)
}

// shape is how a household's use runs over the day by the sun's clock, relative
// to its mean: a quiet night, a morning, a noon, an evening that is the highest.
// Its mean over 24 hours is 1 (a test adds it up).
func shape() [24]float64 {
	return [24]float64{
		0.50, 0.42, 0.40, 0.40, 0.42, 0.55, 0.90, 1.20, 1.15, 1.05, 1.05, 1.25,
		1.35, 1.15, 1.00, 0.95, 1.05, 1.35, 1.75, 1.85, 1.60, 1.25, 0.85, 0.56,
	}
}

// household is a house's use: half of it flows steadily with the shape of the
// day (fridge, light, stand-by), half in appliances that are on for a while.
func household(seed uint64, at energy.Instant, longitude float64, perYear energy.Energy) energy.Power {
	const hoursOfYear = 8766
	mean := float64(perYear) / hoursOfYear // mW
	solar := at.Add(energy.Span(longitude / 15 * float64(energy.Hour)))
	hour := int64(solar) / int64(energy.Hour)
	of := shape()
	now, next := of[mod(hour, 24)], of[mod(hour+1, 24)]
	x := float64(mod(int64(solar), int64(energy.Hour))) / float64(energy.Hour)
	daily := now*(1-x) + next*x

	steady := 0.5 * mean * daily * (0.8 + 0.4*drift(seed, streamBase, at, 25*energy.Minute))
	return energy.Power(math.Round(steady + appliances(seed, at, mean, daily)))
}

// appliances: in each stretch of time each of them is on or not, and the likelier
// the busier the hour is. Their expected sum is half of the house's use.
func appliances(seed uint64, at energy.Instant, mean, daily float64) float64 {
	kinds := [...]struct {
		power   float64 // mW
		stretch energy.Span
		part    float64 // of the house's use
	}{
		{2_000_000, 3 * energy.Minute, 0.08},  // kettle
		{2_400_000, 25 * energy.Minute, 0.17}, // stove and oven
		{1_100_000, 50 * energy.Minute, 0.15}, // washing, dishes
		{250_000, 90 * energy.Minute, 0.10},   // screens
	}
	sum := 0.0
	for i, k := range kinds {
		likely := min(k.part*mean*daily/k.power, 1)
		// Each runs on its own beat, or all would switch together.
		offset := energy.Span(mix(seed, uint64(i)) % uint64(k.stretch))
		slot := int64(at.Add(offset)) / int64(k.stretch)
		if uniform(seed, streamAppliance+uint64(i), slot) < likely {
			sum += k.power
		}
	}
	return sum
}

func mod(a, n int64) int64 { return ((a % n) + n) % n }
