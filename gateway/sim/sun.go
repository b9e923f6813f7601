// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import (
	"math"

	"github.com/allmende-energy/allmende/energy"
)

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
