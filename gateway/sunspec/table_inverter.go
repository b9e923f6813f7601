// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

// commonPoints are those of model 1, common.
func commonPoints() []Point {
	return []Point{
		{2, 16, "Mn", String, "", "", mandatory},
		{18, 16, "Md", String, "", "", mandatory},
		{34, 8, "Opt", String, "", "", 0},
		{42, 8, "Vr", String, "", "", 0},
		{50, 16, "SN", String, "", "", mandatory},
		{66, 1, "DA", Uint16, "", "", writable},
		{67, 1, "Pad", Pad, "", "", 0},
	}
}

// inverterPoints are those of models 101 to 103, inverters of one, two and three phases:
// the same points, only that more of them are mandatory with more phases.
func inverterPoints() []Point {
	return []Point{
		{2, 1, "A", Uint16, "A_SF", "A", mandatory},
		{3, 1, "AphA", Uint16, "A_SF", "A", mandatory},
		{4, 1, "AphB", Uint16, "A_SF", "A", 0},
		{5, 1, "AphC", Uint16, "A_SF", "A", 0},
		{6, 1, "A_SF", ScaleFactor, "", "", mandatory},
		{7, 1, "PPVphAB", Uint16, "V_SF", "V", 0},
		{8, 1, "PPVphBC", Uint16, "V_SF", "V", 0},
		{9, 1, "PPVphCA", Uint16, "V_SF", "V", 0},
		{10, 1, "PhVphA", Uint16, "V_SF", "V", mandatory},
		{11, 1, "PhVphB", Uint16, "V_SF", "V", 0},
		{12, 1, "PhVphC", Uint16, "V_SF", "V", 0},
		{13, 1, "V_SF", ScaleFactor, "", "", mandatory},
		{14, 1, "W", Int16, "W_SF", "W", mandatory},
		{15, 1, "W_SF", ScaleFactor, "", "", mandatory},
		{16, 1, "Hz", Uint16, "Hz_SF", "Hz", mandatory},
		{17, 1, "Hz_SF", ScaleFactor, "", "", mandatory},
		{18, 1, "VA", Int16, "VA_SF", "VA", 0},
		{19, 1, "VA_SF", ScaleFactor, "", "", 0},
		{20, 1, "VAr", Int16, "VAr_SF", "var", 0},
		{21, 1, "VAr_SF", ScaleFactor, "", "", 0},
		{22, 1, "PF", Int16, "PF_SF", "Pct", 0},
		{23, 1, "PF_SF", ScaleFactor, "", "", 0},
		{24, 2, "WH", Acc32, "WH_SF", "Wh", mandatory},
		{26, 1, "WH_SF", ScaleFactor, "", "", mandatory},
		{27, 1, "DCA", Uint16, "DCA_SF", "A", 0},
		{28, 1, "DCA_SF", ScaleFactor, "", "", 0},
		{29, 1, "DCV", Uint16, "DCV_SF", "V", 0},
		{30, 1, "DCV_SF", ScaleFactor, "", "", 0},
		{31, 1, "DCW", Int16, "DCW_SF", "W", 0},
		{32, 1, "DCW_SF", ScaleFactor, "", "", 0},
		{33, 1, "TmpCab", Int16, "Tmp_SF", "C", mandatory},
		{34, 1, "TmpSnk", Int16, "Tmp_SF", "C", 0},
		{35, 1, "TmpTrns", Int16, "Tmp_SF", "C", 0},
		{36, 1, "TmpOt", Int16, "Tmp_SF", "C", 0},
		{37, 1, "Tmp_SF", ScaleFactor, "", "", mandatory},
		{38, 1, "St", Enum16, "", "", mandatory},
		{39, 1, "StVnd", Enum16, "", "", 0},
		{40, 2, "Evt1", Bitfield32, "", "", mandatory},
		{42, 2, "Evt2", Bitfield32, "", "", mandatory},
		{44, 2, "EvtVnd1", Bitfield32, "", "", 0},
		{46, 2, "EvtVnd2", Bitfield32, "", "", 0},
		{48, 2, "EvtVnd3", Bitfield32, "", "", 0},
		{50, 2, "EvtVnd4", Bitfield32, "", "", 0},
	}
}
