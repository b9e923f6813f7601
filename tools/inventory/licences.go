// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// compatible says whether what is under that licence may be part of a program
// under the AGPL, version 3. The GNU project's list of licences agrees on each.
func compatible(spdx string) bool {
	return slices.Contains([]string{
		"0BSD", "AGPL-3.0-or-later", "Apache-2.0", "BlueOak-1.0.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0",
		"MPL-2.0",   // its section 3.3 names the AGPL; its own files stay under it
		"OFL-1.1",   // fonts, which lie beside the program
		"blessing",  // SQLite: in the public domain
		"Unlicense", // in the public domain
		"Zlib",
	}, spdx)
}

// phrases are what each licence says and no other: short texts, so that years,
// names and line breaks do not matter. The order matters, since BSD-3-Clause
// says everything that BSD-2-Clause does.
func phrases() []struct{ spdx, says string } {
	return []struct{ spdx, says string }{
		{"Apache-2.0", "apache license version 2.0"},
		{"MPL-2.0", "mozilla public license version 2.0"},
		{"AGPL-3.0-or-later", "gnu affero general public license version 3"},
		{"LGPL", "gnu lesser general public license"},
		{"GPL", "gnu general public license version"},
		{"OFL-1.1", "sil open font license version 1.1"},
		{"CC0-1.0", "creative commons legal code cc0 1.0 universal"},
		{"Unlicense", "this is free and unencumbered software released into the public domain"},
		{"blessing", "the author disclaims copyright to this source code"},
		{"blessing", "has been dedicated to the public domain by the authors"},
		{"BSD-3-Clause", "redistribution and use in source and binary forms with or without modification are permitted provided that the following conditions are met * neither the name"},
		{"BSD-2-Clause", "redistribution and use in source and binary forms with or without modification are permitted provided that the following conditions are met"},
		{"ISC", "permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted provided that"},
		{"MIT", "permission is hereby granted free of charge to any person obtaining a copy of this software"},
	}
}

// recognise names the licences in a text.
func recognise(text string) []string {
	plain := plainText(text)
	var found []string
	for _, p := range phrases() {
		first, rest, _ := strings.Cut(p.says, "*")
		at := strings.Index(plain, strings.TrimSpace(first))
		if at < 0 || !strings.Contains(plain[at:], strings.TrimSpace(rest)) {
			continue
		}
		if p.spdx == "BSD-2-Clause" && slices.Contains(found, "BSD-3-Clause") || slices.Contains(found, p.spdx) {
			continue
		}
		if strings.HasSuffix(p.spdx, "GPL") || strings.HasPrefix(p.spdx, "AGPL") {
			if len(found) > 0 { // others name it in their own text
				continue
			}
		}
		found = append(found, p.spdx)
	}
	return found
}

// plainText is the words alone, in lower case.
func plainText(text string) string {
	words := regexp.MustCompile(`[^\p{L}\p{N}.]+`).ReplaceAllString(strings.ToLower(text), " ")
	return strings.ReplaceAll(words, ". ", " ")
}

// licencesIn reads the licence files of a folder, those of what a module carries
// along (SQLite in its driver) included: rather one licence too many in the bill.
func licencesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	name := regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)`)
	notText := regexp.MustCompile(`(?i)\.(sh|go|py|js|ts)$|-LOGO$`)
	var found []string
	for _, e := range entries {
		if e.IsDir() || !name.MatchString(e.Name()) || notText.MatchString(e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		for _, l := range recognise(string(b)) {
			if !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}
