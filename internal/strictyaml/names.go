// SPDX-License-Identifier: AGPL-3.0-or-later

package strictyaml

import (
	"reflect"
	"strings"
)

// fieldNames are the names of t's fields, in their order.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		tag := t.Field(i).Tag
		name, ok := tag.Lookup("yaml")
		if !ok {
			name, _, _ = strings.Cut(tag.Get("json"), ",")
		}
		names[i] = name
	}
	return names
}

func index(names []string, name string) int {
	for i, n := range names {
		if n == name && n != "" {
			return i
		}
	}
	return -1
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// Suggest is the name that was probably meant, two typing errors away at most, or empty.
func Suggest(key string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		if dist := typos(clip(key), n); dist < least {
			best, least = n, dist
		}
	}
	return best
}

// typos is the edit distance of a and b.
func typos(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// clip bounds what a message repeats of its input.
func clip(s string) string {
	const most = 80
	s = strings.ToValidUTF8(s, "�")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
