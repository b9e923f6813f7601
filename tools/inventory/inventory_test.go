// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Everything that a member gets with the program is free, under a licence that
// fits the program's own.
func TestLicencesFit(t *testing.T) {
	parts, err := everything(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkLicences(parts); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"golang modernc.org/sqlite", "golang std", "npm svelte"} {
		i := slices.IndexFunc(parts, func(p part) bool { return strings.HasPrefix(p.String(), want+" ") })
		if i < 0 || !parts[i].Shipped || len(parts[i].Licences) == 0 {
			t.Errorf("the bill lacks %s, or what it is under", want)
		}
	}
	t.Log(summary(parts))
}

func TestRecognise(t *testing.T) {
	bsd := "Redistribution and use in source and binary forms, with or without\n// modification, are permitted provided that the following conditions are met:\n* 1. Keep this."
	for text, want := range map[string][]string{
		bsd: {"BSD-2-Clause"},
		bsd + "\n * Neither the name of X nor the names":                                                                                        {"BSD-3-Clause"},
		"Apache License\n      Version 2.0, January 2004":                                                                                       {"Apache-2.0"},
		"Mozilla Public License Version 2.0 … the GNU Affero General Public License, Version 3.0":                                               {"MPL-2.0"},
		"GNU AFFERO GENERAL PUBLIC LICENSE\n  Version 3":                                                                                        {"AGPL-3.0-or-later"},
		"GNU GENERAL PUBLIC LICENSE\n Version 2":                                                                                                {"GPL"},
		"Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software":                                        {"MIT"},
		"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that": {"ISC"},
		"You may use this software on Tuesdays.":                                                                                                nil,
	} {
		if got := recognise(text); !slices.Equal(got, want) {
			t.Errorf("%.60q: %q, want %q", text, got, want)
		}
	}
}

func TestStrangersAreFound(t *testing.T) {
	for _, p := range []part{
		{Name: "secret", Shipped: true},
		{Name: "old", Shipped: true, Licences: []string{"MIT", "GPL"}},
		{Name: "tool"},
	} {
		if err := checkLicences([]part{p}); err == nil || !strings.Contains(err.Error(), p.Name) {
			t.Errorf("%s passes: %v", p.Name, err)
		}
	}
	if err := checkLicences([]part{{Name: "builder", Licences: []string{"GPL"}}}); err != nil {
		t.Errorf("what only builds the page is not in the program: %v", err)
	}
}

func TestBill(t *testing.T) {
	parts := []part{
		{Kind: "golang", Name: "example.org/a", Version: "v1.0.0+incompatible", Licences: []string{"MIT"}, Shipped: true, Sum: "h1:x"},
		{Kind: "npm", Name: "@b/c", Version: "2.0.0", Licences: []string{"ISC"}, Sum: "sha512-AAAA"},
	}
	first, err := cycloneDX("v1.2.3", 1_700_000_000, []file{{"allmende-linux-amd64", "ab"}}, parts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := cycloneDX("v1.2.3", 1_700_000_000, []file{{"allmende-linux-amd64", "ab"}}, parts)
	if err != nil || string(first) != string(again) {
		t.Errorf("the same parts give other bytes (%v)", err)
	}
	var b bom
	if err := json.Unmarshal(first, &b); err != nil {
		t.Fatal(err)
	}
	if b.Metadata.Timestamp != "2023-11-14T22:13:20Z" || len(b.Dependencies[0].DependsOn) != 1 {
		t.Errorf("%+v", b)
	}
	if got, want := b.Components[0].PURL+" "+b.Components[1].PURL, "pkg:golang/example.org/a@v1.0.0+incompatible pkg:npm/%40b/c@2.0.0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if b.Components[1].Scope != "excluded" || b.Components[1].Hashes[0].Content != "000000" {
		t.Errorf("%+v", b.Components[1])
	}
}

// The packages' own test is where the programs are; here it is this test.
func TestProgramsMustBeOfTheBill(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files, err := readPrograms([]string{self}, nil)
	if err != nil || len(files) != 1 || files[0].Name != filepath.Base(self) {
		t.Errorf("%v, %v", files, err)
	}
	if _, err := readPrograms([]string{"main.go"}, nil); err == nil {
		t.Error("a text is a program")
	}
}
