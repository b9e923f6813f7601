// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
)

// sunPosition is where the sun stands over a place: the cosine of its zenith
// angle (below 0: under the horizon) and its azimuth in radians clockwise from
// north. After NOAA Global Monitoring Laboratory, "General Solar Position
// Calculations"; good to some tenths of a degree, without refraction.
func sunPosition(at energy.Instant, latitude, longitude float64) (cosZenith, azimuth float64) {
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

// clearSky is the irradiance on flat ground in W/m² without clouds (Haurwitz 1945).
func clearSky(cosZenith float64) float64 {
	if cosZenith <= 0 {
		return 0
	}
	return 1098 * cosZenith * math.Exp(-0.059/cosZenith)
}

// throughClouds is what N of 1 cloud cover leaves (Kasten and Czeplak 1980).
func throughClouds(cover float64) float64 { return 1 - 0.75*math.Pow(cover, 3.4) }

// tilted is the irradiance on a plane, from that on flat ground. The diffuse
// part, a seventh under a clear sky and nearly all under a closed one, comes
// evenly from the sky that the plane sees (Liu and Jordan 1960); reflection
// from the ground is left out.
func tilted(flat, cover, cosZenith, sunAzimuth float64, pv *PV) float64 {
	if flat <= 0 {
		return 0
	}
	slope, facing := radians(pv.Tilt), radians(pv.Azimuth)
	sinZenith := math.Sqrt(max(0, 1-cosZenith*cosZenith))
	incidence := cosZenith*math.Cos(slope) + sinZenith*math.Sin(slope)*math.Cos(sunAzimuth-facing)
	const (
		clearDiffuse = 1.0 / 7
		lowestSun    = 0.087 // cosine of 85°: nearer to the horizon the ratio runs away
	)
	diffuse := flat * (clearDiffuse + (0.95-clearDiffuse)*cover*cover)
	direct := (flat - diffuse) * max(0, incidence) / max(cosZenith, lowestSun)
	return direct + diffuse*(1+math.Cos(slope))/2
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// yield is a roof's power. Losses in wires, heat and conversion take a seventh;
// an inverter gives at most what the roof peaks at.
func yield(pv *PV, irradiance float64) energy.Power {
	const performance = 6.0 / 7
	p := float64(pv.Peak) * irradiance / 1000 * performance
	return energy.Power(math.Round(min(max(p, 0), float64(pv.Peak))))
}
