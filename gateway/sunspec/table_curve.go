// SPDX-License-Identifier: AGPL-3.0-or-later

package sunspec

// voltVarPoints are those of model 705, reactive power by voltage.
var voltVarPoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 1, "Ena", Enum16, "", "", mandatory | writable, switches},
	{3, 1, "AdptCrvReq", Uint16, "", "", mandatory | writable, ""},
	{4, 1, "AdptCrvRslt", Enum16, "", "", mandatory, adoptions},
	{5, 1, "NPt", Uint16, "", "", mandatory, ""},
	{6, 1, "NCrv", Uint16, "", "", mandatory, ""},
	{7, 2, "RvrtTms", Uint32, "", "Secs", writable, ""},
	{9, 2, "RvrtRem", Uint32, "", "Secs", 0, ""},
	{11, 1, "RvrtCrv", Uint16, "", "", writable, ""},
	{12, 1, "V_SF", ScaleFactor, "", "", mandatory, ""},
	{13, 1, "DeptRef_SF", ScaleFactor, "", "", mandatory, ""},
	{14, 1, "RspTms_SF", ScaleFactor, "", "", mandatory, ""},
}

// voltVarGroups repeat as often as the model says.
var voltVarGroups = []Group{
	{
		Name: "Crv", Count: "NCrv",
		Points: []Point{
			{0, 1, "ActPt", Uint16, "", "", mandatory | writable, ""},
			{1, 1, "DeptRef", Enum16, "", "", mandatory | writable, varReferences},
			{2, 1, "Pri", Enum16, "", "", writable, varPriorities},
			{3, 1, "VRef", Uint16, "V_SF", "VNomPct", writable, ""},
			{4, 1, "VRefAuto", Uint16, "V_SF", "VNomPct", 0, ""},
			{5, 1, "VRefAutoEna", Enum16, "", "", writable, switches},
			{6, 1, "VRefAutoTms", Uint16, "", "Secs", writable, ""},
			{7, 2, "RspTms", Uint32, "RspTms_SF", "Secs", writable, ""},
			{9, 1, "ReadOnly", Enum16, "", "", mandatory, accesses},
		},
		Groups: []Group{
			{
				Name: "Pt", Count: "NPt",
				Points: []Point{
					{0, 1, "V", Uint16, "V_SF", "VNomPct", writable, ""},
					{1, 1, "Var", Int16, "DeptRef_SF", "DeptRef", writable, ""},
				},
			},
		},
	},
}

// voltWattPoints are those of model 706, active power by voltage.
var voltWattPoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 1, "Ena", Enum16, "", "", mandatory | writable, switches},
	{3, 1, "AdptCrvReq", Uint16, "", "", mandatory | writable, ""},
	{4, 1, "AdptCrvRslt", Enum16, "", "", mandatory, adoptions},
	{5, 1, "NPt", Uint16, "", "", mandatory, ""},
	{6, 1, "NCrv", Uint16, "", "", mandatory, ""},
	{7, 2, "RvrtTms", Uint32, "", "Secs", writable, ""},
	{9, 2, "RvrtRem", Uint32, "", "Secs", 0, ""},
	{11, 1, "RvrtCrv", Uint16, "", "", writable, ""},
	{12, 1, "V_SF", ScaleFactor, "", "", mandatory, ""},
	{13, 1, "DeptRef_SF", ScaleFactor, "", "", mandatory, ""},
	{14, 1, "RspTms_SF", ScaleFactor, "", "", mandatory, ""},
}

// voltWattGroups repeat as often as the model says.
var voltWattGroups = []Group{
	{
		Name: "Crv", Count: "NCrv",
		Points: []Point{
			{0, 1, "ActPt", Uint16, "", "", mandatory | writable, ""},
			{1, 1, "DeptRef", Enum16, "", "", mandatory | writable, wattReferences},
			{2, 2, "RspTms", Uint32, "RspTms_SF", "Secs", writable, ""},
			{4, 1, "ReadOnly", Enum16, "", "", mandatory, accesses},
		},
		Groups: []Group{
			{
				Name: "Pt", Count: "NPt",
				Points: []Point{
					{0, 1, "V", Uint16, "V_SF", "VNomPct", writable, ""},
					{1, 1, "W", Int16, "DeptRef_SF", "DeptRef", writable, ""},
				},
			},
		},
	},
}

// tripVoltagePoints are those of models 707 and 708, trips at low and high voltage.
var tripVoltagePoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 1, "Ena", Enum16, "", "", mandatory | writable, switches},
	{3, 1, "AdptCrvReq", Uint16, "", "", mandatory | writable, ""},
	{4, 1, "AdptCrvRslt", Enum16, "", "", mandatory, adoptions},
	{5, 1, "NPt", Uint16, "", "", mandatory, ""},
	{6, 1, "NCrvSet", Uint16, "", "", mandatory, ""},
	{7, 1, "V_SF", ScaleFactor, "", "", mandatory, ""},
	{8, 1, "Tms_SF", ScaleFactor, "", "", mandatory, ""},
}

// tripVoltageGroups repeat as often as the model says.
var tripVoltageGroups = []Group{
	{
		Name: "Crv", Count: "NCrvSet",
		Points: []Point{
			{0, 1, "ReadOnly", Enum16, "", "", mandatory, accesses},
		},
		Groups: []Group{
			{
				Name: "MustTrip",
				Points: []Point{
					{0, 1, "ActPt", Uint16, "", "", writable, ""},
				},
				Groups: []Group{
					{
						Name: "Pt", Count: "NPt",
						Points: []Point{
							{0, 1, "V", Uint16, "V_SF", "VNomPct", writable, ""},
							{1, 2, "Tms", Uint32, "Tms_SF", "Secs", writable, ""},
						},
					},
				},
			},
			{
				Name: "MayTrip",
				Points: []Point{
					{0, 1, "ActPt", Uint16, "", "", writable, ""},
				},
				Groups: []Group{
					{
						Name: "Pt", Count: "NPt",
						Points: []Point{
							{0, 1, "V", Uint16, "V_SF", "VNomPct", writable, ""},
							{1, 2, "Tms", Uint32, "Tms_SF", "Secs", writable, ""},
						},
					},
				},
			},
			{
				Name: "MomCess",
				Points: []Point{
					{0, 1, "ActPt", Uint16, "", "", writable, ""},
				},
				Groups: []Group{
					{
						Name: "Pt", Count: "NPt",
						Points: []Point{
							{0, 1, "V", Uint16, "V_SF", "VNomPct", writable, ""},
							{1, 2, "Tms", Uint32, "Tms_SF", "Secs", writable, ""},
						},
					},
				},
			},
		},
	},
}

// tripFrequencyPoints are those of models 709 and 710, trips at low and high frequency.
var tripFrequencyPoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 1, "Ena", Enum16, "", "", mandatory | writable, switches},
	{3, 1, "AdptCrvReq", Uint16, "", "", mandatory | writable, ""},
	{4, 1, "AdptCrvRslt", Enum16, "", "", mandatory, adoptions},
	{5, 1, "NPt", Uint16, "", "", mandatory, ""},
	{6, 1, "NCrvSet", Uint16, "", "", mandatory, ""},
	{7, 1, "Hz_SF", ScaleFactor, "", "", mandatory, ""},
	{8, 1, "Tms_SF", ScaleFactor, "", "", mandatory, ""},
}

// tripFrequencyGroups repeat as often as the model says.
var tripFrequencyGroups = []Group{
	{
		Name: "Crv", Count: "NCrvSet",
		Points: []Point{
			{0, 1, "ReadOnly", Enum16, "", "", mandatory, accesses},
		},
		Groups: []Group{
			{
				Name: "MustTrip",
				Points: []Point{
					{0, 1, "ActPt", Uint16, "", "", writable, ""},
				},
				Groups: []Group{
					{
						Name: "Pt", Count: "NPt",
						Points: []Point{
							{0, 2, "Hz", Uint32, "Hz_SF", "Hz", writable, ""},
							{2, 2, "Tms", Uint32, "Tms_SF", "Secs", writable, ""},
						},
					},
				},
			},
			{
				Name: "MayTrip",
				Points: []Point{
					{0, 1, "ActPt", Uint16, "", "", writable, ""},
				},
				Groups: []Group{
					{
						Name: "Pt", Count: "NPt",
						Points: []Point{
							{0, 2, "Hz", Uint32, "Hz_SF", "Hz", writable, ""},
							{2, 2, "Tms", Uint32, "Tms_SF", "Secs", writable, ""},
						},
					},
				},
			},
			{
				Name: "MomCess",
				Points: []Point{
					{0, 1, "ActPt", Uint16, "", "", writable, ""},
				},
				Groups: []Group{
					{
						Name: "Pt", Count: "NPt",
						Points: []Point{
							{0, 2, "Hz", Uint32, "Hz_SF", "Hz", writable, ""},
							{2, 2, "Tms", Uint32, "Tms_SF", "Secs", writable, ""},
						},
					},
				},
			},
		},
	},
}

// droopPoints are those of model 711, frequency droop.
var droopPoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 1, "Ena", Enum16, "", "", mandatory | writable, switches},
	{3, 1, "AdptCtlReq", Uint16, "", "", mandatory | writable, ""},
	{4, 1, "AdptCtlRslt", Enum16, "", "", mandatory, adoptions},
	{5, 1, "NCtl", Uint16, "", "", mandatory, ""},
	{6, 2, "RvrtTms", Uint32, "", "Secs", writable, ""},
	{8, 2, "RvrtRem", Uint32, "", "Secs", 0, ""},
	{10, 1, "RvrtCtl", Uint16, "", "", writable, ""},
	{11, 1, "Db_SF", ScaleFactor, "", "", mandatory, ""},
	{12, 1, "K_SF", ScaleFactor, "", "", mandatory, ""},
	{13, 1, "RspTms_SF", ScaleFactor, "", "", mandatory, ""},
}

// droopGroups repeat as often as the model says.
var droopGroups = []Group{
	{
		Name: "Ctl", Count: "NCtl",
		Points: []Point{
			{0, 2, "DbOf", Uint32, "Db_SF", "Hz", mandatory | writable, ""},
			{2, 2, "DbUf", Uint32, "Db_SF", "Hz", mandatory | writable, ""},
			{4, 1, "KOf", Uint16, "K_SF", "", mandatory | writable, ""},
			{5, 1, "KUf", Uint16, "K_SF", "", mandatory | writable, ""},
			{6, 2, "RspTms", Uint32, "RspTms_SF", "Secs", mandatory | writable, ""},
			{8, 1, "PMin", Int16, "", "Pct", writable, ""},
			{9, 1, "ReadOnly", Enum16, "", "", mandatory, accesses},
		},
	},
}

// wattVarPoints are those of model 712, reactive power by active power.
var wattVarPoints = []Point{
	{0, 1, "ID", Uint16, "", "", mandatory, ""},
	{1, 1, "L", Uint16, "", "", mandatory, ""},
	{2, 1, "Ena", Enum16, "", "", mandatory | writable, switches},
	{3, 1, "AdptCrvReq", Uint16, "", "", mandatory | writable, ""},
	{4, 1, "AdptCrvRslt", Enum16, "", "", mandatory, adoptions},
	{5, 1, "NPt", Uint16, "", "", mandatory, ""},
	{6, 1, "NCrv", Uint16, "", "", mandatory, ""},
	{7, 2, "RvrtTms", Uint32, "", "Secs", writable, ""},
	{9, 2, "RvrtRem", Uint32, "", "Secs", 0, ""},
	{11, 1, "RvrtCrv", Uint16, "", "", writable, ""},
	{12, 1, "W_SF", ScaleFactor, "", "", mandatory, ""},
	{13, 1, "DeptRef_SF", ScaleFactor, "", "", mandatory, ""},
}

// wattVarGroups repeat as often as the model says.
var wattVarGroups = []Group{
	{
		Name: "Crv", Count: "NCrv",
		Points: []Point{
			{0, 1, "ActPt", Uint16, "", "", mandatory | writable, ""},
			{1, 1, "DeptRef", Enum16, "", "", mandatory | writable, varReferences},
			{2, 1, "Pri", Enum16, "", "", writable, priorities},
			{3, 1, "ReadOnly", Enum16, "", "", mandatory, accesses},
		},
		Groups: []Group{
			{
				Name: "Pt", Count: "NPt",
				Points: []Point{
					{0, 1, "W", Int16, "W_SF", "WMaxPct", writable, ""},
					{1, 1, "Var", Int16, "DeptRef_SF", "VarPct", writable, ""},
				},
			},
		},
	},
}
