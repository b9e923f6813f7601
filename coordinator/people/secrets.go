// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// letters are those of base32 in lower case: easy to read out and to select.
var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// random is so many random bytes as text.
func random(bytes int) string {
	raw := make([]byte, bytes)
	rand.Read(raw) // never fails (crypto/rand)
	return letters.EncodeToString(raw)
}

// TokenPrefix begins every access token, so that scanners for leaked secrets
// find it.
const TokenPrefix = "alm_"

// Lengths of what is random, in bytes.
const (
	idBytes     = 10
	secretBytes = 32 // links and tokens: beyond any guessing, so that a fast hash will do
	codeBytes   = 10 // recovery codes, which people type
	handleBytes = 32
	codeCount   = 10
)

func newID(kind string) string { return kind + "-" + random(idBytes) }

// digest is what is kept of a secret that nobody can guess.
func digest(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// newCodes are recovery codes, to be shown, and their hashes, to be kept.
func newCodes() (codes []string, hashes [][32]byte) {
	for range codeCount {
		code := random(codeBytes)
		var groups []string
		for i := 0; i < len(code); i += 4 {
			groups = append(groups, code[i:i+4])
		}
		codes = append(codes, strings.Join(groups, "-"))
		hashes = append(hashes, codeDigest(code))
	}
	return codes, hashes
}

// codeDigest is the hash of a code as somebody typed it.
func codeDigest(typed string) [32]byte {
	return digest(strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '2' && r <= '7':
			return r
		case r == '0':
			return 'o'
		case r == '1':
			return 'l'
		}
		return -1
	}, typed))
}
