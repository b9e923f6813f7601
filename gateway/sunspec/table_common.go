// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

// commonPoints are those of model 1, which names the device.
var commonPoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 16, "Mn", String, "", "", mandatory, ""},
	{18, 16, "Md", String, "", "", mandatory, ""},
	{34, 8, "Opt", String, "", "", 0, ""},
	{42, 8, "Vr", String, "", "", 0, ""},
	{50, 16, "SN", String, "", "", mandatory, ""},
	{66, 1, "DA", Uint16, "", "", writable, ""},
	{67, 1, "Pad", Pad, "", "", 0, ""},
}
