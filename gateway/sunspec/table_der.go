// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

// acPoints are those of model 701, the AC side of a distributed energy resource.
func acPoints() []Point {
	return []Point{
		{2, 1, "ACType", Enum16, "", "", mandatory},
		{3, 1, "St", Enum16, "", "", 0},
		{4, 1, "InvSt", Enum16, "", "", 0},
		{5, 1, "ConnSt", Enum16, "", "", 0},
		{6, 2, "Alrm", Bitfield32, "", "", 0},
		{8, 2, "DERMode", Bitfield32, "", "", 0},
		{10, 1, "W", Int16, "W_SF", "W", 0},
		{11, 1, "VA", Int16, "VA_SF", "VA", 0},
		{12, 1, "Var", Int16, "Var_SF", "Var", 0},
		{13, 1, "PF", Int16, "PF_SF", "", 0},
		{14, 1, "A", Int16, "A_SF", "A", 0},
		{15, 1, "LLV", Uint16, "V_SF", "V", 0},
		{16, 1, "LNV", Uint16, "V_SF", "V", 0},
		{17, 2, "Hz", Uint32, "Hz_SF", "Hz", 0},
		{19, 4, "TotWhInj", Uint64, "TotWh_SF", "Wh", 0},
		{23, 4, "TotWhAbs", Uint64, "TotWh_SF", "Wh", 0},
		{27, 4, "TotVarhInj", Uint64, "TotVarh_SF", "Varh", 0},
		{31, 4, "TotVarhAbs", Uint64, "TotVarh_SF", "Varh", 0},
		{35, 1, "TmpAmb", Int16, "Tmp_SF", "C", 0},
		{36, 1, "TmpCab", Int16, "Tmp_SF", "C", 0},
		{37, 1, "TmpSnk", Int16, "Tmp_SF", "C", 0},
		{38, 1, "TmpTrns", Int16, "Tmp_SF", "C", 0},
		{39, 1, "TmpSw", Int16, "Tmp_SF", "C", 0},
		{40, 1, "TmpOt", Int16, "Tmp_SF", "C", 0},
		{41, 1, "WL1", Int16, "W_SF", "W", 0},
		{42, 1, "VAL1", Int16, "VA_SF", "VA", 0},
		{43, 1, "VarL1", Int16, "Var_SF", "Var", 0},
		{44, 1, "PFL1", Int16, "PF_SF", "", 0},
		{45, 1, "AL1", Int16, "A_SF", "A", 0},
		{46, 1, "VL1L2", Uint16, "V_SF", "V", 0},
		{47, 1, "VL1", Uint16, "V_SF", "V", 0},
		{48, 4, "TotWhInjL1", Uint64, "TotWh_SF", "Wh", 0},
		{52, 4, "TotWhAbsL1", Uint64, "TotWh_SF", "Wh", 0},
		{56, 4, "TotVarhInjL1", Uint64, "TotVarh_SF", "Varh", 0},
		{60, 4, "TotVarhAbsL1", Uint64, "TotVarh_SF", "Varh", 0},
		{64, 1, "WL2", Int16, "W_SF", "W", 0},
		{65, 1, "VAL2", Int16, "VA_SF", "VA", 0},
		{66, 1, "VarL2", Int16, "Var_SF", "Var", 0},
		{67, 1, "PFL2", Int16, "PF_SF", "", 0},
		{68, 1, "AL2", Int16, "A_SF", "A", 0},
		{69, 1, "VL2L3", Uint16, "V_SF", "V", 0},
		{70, 1, "VL2", Uint16, "V_SF", "V", 0},
		{71, 4, "TotWhInjL2", Uint64, "TotWh_SF", "Wh", 0},
		{75, 4, "TotWhAbsL2", Uint64, "TotWh_SF", "Wh", 0},
		{79, 4, "TotVarhInjL2", Uint64, "TotVarh_SF", "Varh", 0},
		{83, 4, "TotVarhAbsL2", Uint64, "TotVarh_SF", "Varh", 0},
		{87, 1, "WL3", Int16, "W_SF", "W", 0},
		{88, 1, "VAL3", Int16, "VA_SF", "VA", 0},
		{89, 1, "VarL3", Int16, "Var_SF", "Var", 0},
		{90, 1, "PFL3", Int16, "PF_SF", "", 0},
		{91, 1, "AL3", Int16, "A_SF", "A", 0},
		{92, 1, "VL3L1", Uint16, "V_SF", "V", 0},
		{93, 1, "VL3", Uint16, "V_SF", "V", 0},
		{94, 4, "TotWhInjL3", Uint64, "TotWh_SF", "Wh", 0},
		{98, 4, "TotWhAbsL3", Uint64, "TotWh_SF", "Wh", 0},
		{102, 4, "TotVarhInjL3", Uint64, "TotVarh_SF", "Varh", 0},
		{106, 4, "TotVarhAbsL3", Uint64, "TotVarh_SF", "Varh", 0},
		{110, 1, "ThrotPct", Uint16, "", "Pct", 0},
		{111, 2, "ThrotSrc", Bitfield32, "", "", 0},
		{113, 1, "A_SF", ScaleFactor, "", "", 0},
		{114, 1, "V_SF", ScaleFactor, "", "", 0},
		{115, 1, "Hz_SF", ScaleFactor, "", "", 0},
		{116, 1, "W_SF", ScaleFactor, "", "", 0},
		{117, 1, "PF_SF", ScaleFactor, "", "", 0},
		{118, 1, "VA_SF", ScaleFactor, "", "", 0},
		{119, 1, "Var_SF", ScaleFactor, "", "", 0},
		{120, 1, "TotWh_SF", ScaleFactor, "", "", 0},
		{121, 1, "TotVarh_SF", ScaleFactor, "", "", 0},
		{122, 1, "Tmp_SF", ScaleFactor, "", "", 0},
		{123, 32, "MnAlrmInfo", String, "", "", 0},
	}
}

// dcPoints are those of model 714, its DC side.
func dcPoints() []Point {
	return []Point{
		{2, 2, "PrtAlrms", Bitfield32, "", "", 0},
		{4, 1, "NPrt", Uint16, "", "", 0},
		{5, 1, "DCA", Int16, "DCA_SF", "A", 0},
		{6, 1, "DCW", Int16, "DCW_SF", "W", 0},
		{7, 4, "DCWhInj", Uint64, "DCWH_SF", "Wh", 0},
		{11, 4, "DCWhAbs", Uint64, "DCWH_SF", "Wh", 0},
		{15, 1, "DCA_SF", ScaleFactor, "", "", 0},
		{16, 1, "DCV_SF", ScaleFactor, "", "", 0},
		{17, 1, "DCW_SF", ScaleFactor, "", "", 0},
		{18, 1, "DCWH_SF", ScaleFactor, "", "", 0},
		{19, 1, "Tmp_SF", ScaleFactor, "", "", 0},
	}
}

// dcPointsPrt are the points of one of its repeated groups; the offsets count from the group.
func dcPointsPrt() []Point {
	return []Point{
		{0, 1, "PrtTyp", Enum16, "", "", 0},
		{1, 1, "ID", Uint16, "", "", 0},
		{2, 8, "IDStr", String, "", "", 0},
		{10, 1, "DCA", Int16, "DCA_SF", "A", 0},
		{11, 1, "DCV", Uint16, "DCV_SF", "V", 0},
		{12, 1, "DCW", Int16, "DCW_SF", "W", 0},
		{13, 4, "DCWhInj", Uint64, "DCWH_SF", "Wh", 0},
		{17, 4, "DCWhAbs", Uint64, "DCWH_SF", "Wh", 0},
		{21, 1, "Tmp", Int16, "Tmp_SF", "C", 0},
		{22, 1, "DCSta", Enum16, "", "", 0},
		{23, 2, "DCAlrm", Bitfield32, "", "", 0},
	}
}

// capacityPoints are those of model 713, storage capacity.
func capacityPoints() []Point {
	return []Point{
		{2, 1, "WHRtg", Uint16, "WH_SF", "WH", 0},
		{3, 1, "WHAvail", Uint16, "WH_SF", "WH", 0},
		{4, 1, "SoC", Uint16, "Pct_SF", "Pct", 0},
		{5, 1, "SoH", Uint16, "Pct_SF", "Pct", 0},
		{6, 1, "Sta", Enum16, "", "", 0},
		{7, 1, "WH_SF", ScaleFactor, "", "", 0},
		{8, 1, "Pct_SF", ScaleFactor, "", "", 0},
	}
}
