// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

// DecodeForTest is what a point shows in an image.
func DecodeForTest(p *Point, m *Image) Reading { return p.decode(m) }
