// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

// mpptPoints are those of model 160 before its modules.
var mpptPoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 1, "DCA_SF", ScaleFactor, "", "", 0, ""},
	{3, 1, "DCV_SF", ScaleFactor, "", "", 0, ""},
	{4, 1, "DCW_SF", ScaleFactor, "", "", 0, ""},
	{5, 1, "DCWH_SF", ScaleFactor, "", "", 0, ""},
	{6, 2, "Evt", Bitfield32, "", "", 0, moduleEvents},
	{8, 1, "N", Count, "", "", 0, ""},
	{9, 1, "TmsPer", Uint16, "", "", 0, ""},
}

// mpptGroups are its modules: as many as its length holds.
var mpptGroups = []Group{
	{
		Name: "module", Count: "*",
		Points: []Point{
			{0, 1, "ID", Uint16, "", "", 0, ""},
			{1, 8, "IDStr", String, "", "", 0, ""},
			{9, 1, "DCA", Uint16, "DCA_SF", "A", 0, ""},
			{10, 1, "DCV", Uint16, "DCV_SF", "V", 0, ""},
			{11, 1, "DCW", Uint16, "DCW_SF", "W", 0, ""},
			{12, 2, "DCWH", Acc32, "DCWH_SF", "Wh", 0, ""},
			{14, 2, "Tms", Uint32, "", "Secs", 0, ""},
			{16, 1, "Tmp", Int16, "", "C", 0, ""},
			{17, 1, "DCSt", Enum16, "", "", 0, moduleStates},
			{18, 2, "DCEvt", Bitfield32, "", "", 0, moduleEvents},
		},
	},
}
