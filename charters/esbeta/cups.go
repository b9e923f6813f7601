// SPDX-License-Identifier: AGPL-3.0-or-later

package esbeta

import "fmt"

// checkLetters are the letters of Spain's control codes, by remainder.
const checkLetters = "TRWAGMYFPDXBNJZSQVHLCKE"

// CheckCUPS says whether s is the code of a point of supply as the file of
// coefficients wants it, 22 characters: ES, four digits of the distributor, twelve
// of the point, two letters that check these sixteen digits, and the number and
// kind of the metering point, such as ES1234123456789012JY0F.
func CheckCUPS(s string) error {
	const length, digits = 22, 16
	if len(s) != length {
		return fmt.Errorf("%.40q has %d characters; a CUPS has %d here, with the two of the metering point (mostly 0F) at its end", s, len(s), length)
	}
	if s[:2] != "ES" {
		return fmt.Errorf("%q begins with %q; a CUPS begins with ES, in capitals", s, s[:2])
	}
	var number int64
	for i := 2; i < 2+digits; i++ {
		if s[i] < '0' || s[i] > '9' {
			return fmt.Errorf("%q has %q at place %d, where a digit belongs", s, s[i], i+1)
		}
		number = number*10 + int64(s[i]-'0')
	}
	if want := letters(number); s[18:20] != want {
		return fmt.Errorf("%q ends its number with %q, and %s would check; a digit or letter is mistyped, so compare it with the bill", s, s[18:20], want)
	}
	if s[20] < '0' || s[20] > '9' {
		return fmt.Errorf("%q has %q at place 21, where the number of the metering point belongs, mostly 0", s, s[20])
	}
	switch s[21] {
	case 'F', 'P', 'R', 'C', 'X', 'Y', 'Z':
		return nil
	}
	return fmt.Errorf("%q ends with %q; the kind of a metering point is F, P, R, C, X, Y or Z, mostly F", s, s[21])
}

// letters check sixteen digits: the number modulo 529 = 23 · 23, as two letters.
func letters(number int64) string {
	rest := number % 529
	return string([]byte{checkLetters[rest/23], checkLetters[rest%23]})
}

// CheckCAU says whether s is the code of a self-consumption: the CUPS of its
// point of generation, the letter A and three digits.
func CheckCAU(s string) error {
	const length = 26
	if len(s) != length {
		return fmt.Errorf("%.40q has %d characters; a CAU has %d: a CUPS of 22, the letter A and three digits", s, len(s), length)
	}
	if err := CheckCUPS(s[:22]); err != nil {
		return err
	}
	if s[22] != 'A' || !digit(s[23]) || !digit(s[24]) || !digit(s[25]) {
		return fmt.Errorf("%q ends with %q; a CAU ends with the letter A and three digits, such as A000", s, s[22:])
	}
	return nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
