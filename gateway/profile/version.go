// SPDX-License-Identifier: AGPL-3.0-or-later

package profile

import (
	"cmp"
	"strconv"
	"strings"
	"unicode"
)

// compareVersions compares the groups of digits in two versions: V1.10 is
// later than 1.9. What stands between the digits does not count.
func compareVersions(a, b string) int {
	left, right := digitGroups(a), digitGroups(b)
	for i := range max(len(left), len(right)) {
		var l, r uint64
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		if l != r {
			return cmp.Compare(l, r)
		}
	}
	return 0
}

func digitGroups(s string) []uint64 {
	var groups []uint64
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsDigit(r) }) {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil { // longer than any version
			n = 0
		}
		groups = append(groups, n)
	}
	return groups
}

// suits says whether firmware is in a range; known is false where the device
// does not tell and the range asks.
func suits(firmware, since, before string) (is, known bool) {
	if since == "" && before == "" {
		return true, true
	}
	if len(digitGroups(firmware)) == 0 {
		return false, false
	}
	return (since == "" || compareVersions(firmware, since) >= 0) &&
		(before == "" || compareVersions(firmware, before) < 0), true
}
