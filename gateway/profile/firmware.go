// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

// Of is the profile as a device of a firmware has it: only the points and
// controls that hold for it. Simulators need it, because they know their
// firmware before anybody reads it.
func (p *Profile) Of(firmware string) *Profile {
	own := *p
	own.Points, own.Controls = nil, nil
	for _, pt := range p.Points {
		if is, _ := suits(firmware, pt.Since, pt.Before); is {
			own.Points = append(own.Points, pt)
		}
	}
	for _, k := range p.Controls {
		if is, _ := suits(firmware, k.Since, k.Before); is {
			own.Controls = append(own.Controls, k)
		}
	}
	return &own
}
