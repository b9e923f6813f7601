// SPDX-License-Identifier: AGPL-3.0-or-later

package canon

import (
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// kind of a JSON value.
type kind uint8

const (
	literal kind = iota // null, true, false or an integer, in its canonical spelling
	text
	array
	object
)

// node is one parsed JSON value. A string's text and a literal's spelling are in
// str, an array's items and an object's members in items.
type node struct {
	kind  kind
	name  string // of an object's member
	str   string
	items []node
}

// append writes n canonically. Objects are sorted by then.
func (n *node) append(b []byte) []byte {
	switch n.kind {
	case literal:
		return append(b, n.str...)
	case text:
		return appendString(b, n.str)
	case array:
		b = append(b, '[')
		for i := range n.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = n.items[i].append(b)
		}
		return append(b, ']')
	default:
		b = append(b, '{')
		for i := range n.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, n.items[i].name)
			b = append(b, ':')
			b = n.items[i].append(b)
		}
		return append(b, '}')
	}
}

// appendString escapes what RFC 8785, 3.2.2.2 says and nothing else.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c < 0x20:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// sortMembers orders an object's members by the UTF-16 code units of their names.
func sortMembers(members []node) {
	slices.SortStableFunc(members, func(a, b node) int { return compareUTF16(a.name, b.name) })
}

// compareUTF16 orders strings as arrays of UTF-16 code units. That differs from
// the order of their bytes only where a character beyond U+FFFF (written as two
// surrogates, 0xD800–0xDFFF) meets one in U+E000–U+FFFF.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			return compareUnits(ra, rb)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

func compareUnits(a, b rune) int {
	a1, a2 := units(a)
	b1, b2 := units(b)
	if a1 != b1 {
		return int(a1 - b1)
	}
	return int(a2 - b2)
}

// units are a character's one or two UTF-16 code units; the second may be 0.
func units(r rune) (first, second rune) {
	if r < 0x10000 {
		return r, 0
	}
	return utf16.EncodeRune(r)
}
