// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sun says where the sun stands, as a pure function of time and place:
// the simulator makes its days of it, and a gateway knows by it that an
// inverter that does not answer is asleep and not broken.
package sun

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
)

// Position is where the sun stands over a place: the cosine of its zenith
// angle (below 0: under the horizon) and its azimuth in radians clockwise from
// north. After NOAA Global Monitoring Laboratory, "General Solar Position
// Calculations"; good to some tenths of a degree, without refraction.
func Position(at energy.Instant, latitude, longitude float64) (cosZenith, azimuth float64) {
	t := at.Time()
	hour := float64(t.Hour()) + float64(t.Minute())/60 + float64(t.Second())/3600
	year := 365.0
	if y := t.Year(); y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		year = 366
	}
	g := 2 * math.Pi / year * (float64(t.YearDay()-1) + (hour-12)/24)

	equation := 229.18 * (0.000075 + 0.001868*math.Cos(g) - 0.032077*math.Sin(g) -
		0.014615*math.Cos(2*g) - 0.040849*math.Sin(2*g)) // minutes
	declination := 0.006918 - 0.399912*math.Cos(g) + 0.070257*math.Sin(g) -
		0.006758*math.Cos(2*g) + 0.000907*math.Sin(2*g) -
		0.002697*math.Cos(3*g) + 0.00148*math.Sin(3*g)

	minutes := hour*60 + equation + 4*longitude
	angle := radians(minutes/4 - 180)
	lat := radians(latitude)
	cosZenith = math.Sin(lat)*math.Sin(declination) + math.Cos(lat)*math.Cos(declination)*math.Cos(angle)
	east := -math.Cos(declination) * math.Sin(angle)
	north := math.Cos(lat)*math.Sin(declination) - math.Sin(lat)*math.Cos(declination)*math.Cos(angle)
	return cosZenith, math.Atan2(east, north)
}

// Elevation is how high the sun stands over the horizon, in degrees; below it,
// negative.
func Elevation(at energy.Instant, latitude, longitude float64) float64 {
	cosZenith, _ := Position(at, latitude, longitude)
	return 90 - math.Acos(min(max(cosZenith, -1), 1))*180/math.Pi
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }
