// SPDX-License-Identifier: AGPL-3.0-or-later

package sim

import "github.com/allmende-energy/allmende/energy"

// microjoules count energy without a remainder: 1 mW for 1 ms is 1 µJ. An int64
// holds 2.5 million kWh of them.
type microjoules int64

// perMilliwattHour is 3.6 J.
const perMilliwattHour = 3_600_000

// during is the energy of p over d.
func during(p energy.Power, d energy.Span) microjoules { return microjoules(int64(p) * int64(d)) }

// energy is u cut to milliwatt-hours.
func (u microjoules) energy() energy.Energy { return energy.Energy(u / perMilliwattHour) }

// of is the exact count of e.
func microjoulesOf(e energy.Energy) microjoules { return microjoules(e) * perMilliwattHour }
