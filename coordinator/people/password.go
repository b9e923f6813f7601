// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed" // the worst passwords
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// cost is what a password's hash costs. It stands in each hash, so that it can
// rise: a sign-in hashes anew what was hashed for less.
type cost struct {
	memoryKiB, time uint32
	threads         uint8
}

// present is OWASP's second choice (2023), which a Raspberry Pi computes in a
// fraction of a second.
func present() cost { return cost{memoryKiB: 19 << 10, time: 2, threads: 1} }

const (
	saltBytes = 16
	hashBytes = 32
	// Bounds of what a hash in the database may ask for.
	mostMemoryKiB = 256 << 10
	mostTime      = 16
)

// Bounds of hashing: so many at a time, of 19 MiB each, and so many that wait.
const (
	hashing    = 2
	waiting    = 16
	waitAtMost = 5 * time.Second
)

// errBusy: too many sign in at once.
var errBusy = errors.New("too many people sign in at this moment: try again in a few seconds")

// hasher hashes passwords, few at a time.
type hasher struct {
	places chan struct{}
	queued atomic.Int64
	decoy  string // hash of nobody's password
}

func newHasher() *hasher {
	h := &hasher{places: make(chan struct{}, hashing)}
	raw := make([]byte, saltBytes+hashBytes)
	rand.Read(raw) // never fails (crypto/rand)
	h.decoy = encode(present(), raw[:saltBytes], raw[saltBytes:])
	return h
}

// place waits for a place to hash in, for a while.
func (h *hasher) place(ctx context.Context) (leave func(), err error) {
	if h.queued.Add(1) > hashing+waiting {
		h.queued.Add(-1)
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, waitAtMost)
	defer cancel()
	select {
	case h.places <- struct{}{}:
		return func() { <-h.places; h.queued.Add(-1) }, nil
	case <-ctx.Done():
		h.queued.Add(-1)
		return nil, errBusy
	}
}

// hash hashes a new password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.place(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails (crypto/rand)
	return encode(present(), salt, derive(present(), salt, password, hashBytes)), nil
}

// check says whether a password is the one that was hashed. An empty hash is
// nobody's password, and takes as long to check.
func (h *hasher) check(ctx context.Context, password, hashed string) (ok, outdated bool, err error) {
	known := hashed != ""
	if !known {
		hashed = h.decoy
	}
	c, salt, want, err := parse(hashed)
	if err != nil {
		return false, false, err
	}
	leave, err := h.place(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	got := derive(c, salt, password, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && known, c != present(), nil
}

func derive(c cost, salt []byte, password string, length uint32) []byte {
	return argon2.IDKey([]byte(normal(password)), salt, c.time, c.memoryKiB, c.threads, length)
}

// normal makes what two keyboards write for the same characters the same.
func normal(password string) string { return norm.NFKC.String(password) }

// encode is the PHC string format.
func encode(c cost, salt, hash []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memoryKiB, c.time, c.threads, b.EncodeToString(salt), b.EncodeToString(hash))
}

func parse(phc string) (c cost, salt, hash []byte, err error) {
	fail := errors.New("a password's hash in the database can't be read")
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, fail
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memoryKiB, &c.time, &c.threads); err != nil {
		return c, nil, nil, fail
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	hash, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(hash) < 16 || len(hash) > 64 ||
		c.memoryKiB == 0 || c.memoryKiB > mostMemoryKiB || c.time == 0 || c.time > mostTime || c.threads == 0 {
		return c, nil, nil, fail
	}
	return c, salt, hash, nil
}

// worst are passwords that are tried first.
//
//go:embed worst.txt
var worst string

// Bounds of a password.
const (
	leastPassword = 10
	mostPassword  = 200 // characters
	fewDifferent  = 5
)

// acceptable says what is wrong with a new password, as NIST SP 800-63B asks:
// its length counts, and that it isn't one that everybody tries; which kinds of
// character it has does not.
func acceptable(password string, about ...string) error {
	plain := strings.ToLower(normal(password))
	switch n := utf8.RuneCountInString(plain); {
	case !utf8.ValidString(password) || len(password) > 4*mostPassword || n > mostPassword:
		return fmt.Errorf("the password is too long: write at most %d characters", mostPassword)
	case n < leastPassword:
		return fmt.Errorf("the password has %d characters: write at least %d, such as four words that have nothing to do with each other", n, leastPassword)
	}
	different := map[rune]bool{}
	for _, r := range plain {
		different[r] = true
	}
	common := false
	for line := range strings.Lines(worst) {
		common = common || strings.TrimSpace(line) == plain
	}
	if common || len(different) < fewDifferent {
		return errors.New("the password is one that everybody tries: choose another, such as four words that have nothing to do with each other")
	}
	rest := plain
	for _, word := range about {
		if word = strings.ToLower(word); len(word) >= 3 {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	const leastOwn = 6
	if rest != plain && utf8.RuneCountInString(rest) < leastOwn {
		return errors.New("the password is little more than your name or the community's: choose another")
	}
	return nil
}
