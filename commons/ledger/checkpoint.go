// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/allmende-energy/allmende/commons/roll"
)

// Checkpoint is the ledger's head. Its signed form is a note
// (golang.org/x/mod/sumdb/note) whose text is the checkpoint body that
// transparency-dev/formats describes: origin, size, root, then lines of ours.
type Checkpoint struct {
	Origin    roll.CommunityID // also the name of the signing key
	Size      int64
	Root      tlog.Hash
	Simulated bool // the leaves speak of a simulated world
}

// maxCheckpointBytes bounds a signed checkpoint, with room for co-signers.
const maxCheckpointBytes = 16 << 10

const simulatedLine = "simulated"

// ErrCheckpoint is wrapped by every refusal of a checkpoint.
var ErrCheckpoint = errors.New("the checkpoint does not hold")

// Key is a checkpoint key pair in the encodings of package note. The signer is secret.
type Key struct {
	Signer   string
	Verifier string
}

// NewKey makes an Ed25519 key pair named after the community.
func NewKey(rand io.Reader, community roll.CommunityID) (Key, error) {
	if community == "" || strings.ContainsAny(string(community), " +\n\t") {
		return Key{}, fmt.Errorf("checkpoint key: community id %q can't name a key", community)
	}
	signer, verifier, err := note.GenerateKey(rand, string(community))
	if err != nil {
		return Key{}, fmt.Errorf("checkpoint key: %w", err)
	}
	return Key{signer, verifier}, nil
}

// Text is the checkpoint's body, which is what is signed.
func (c Checkpoint) Text() string {
	s := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
	if c.Simulated {
		s += simulatedLine + "\n"
	}
	return s
}

// SignCheckpoint writes the checkpoint as a signed note. The signer's name is the origin.
func SignCheckpoint(c Checkpoint, signer note.Signer) ([]byte, error) {
	if _, err := ParseCheckpoint(c.Text()); err != nil {
		return nil, err
	}
	if signer.Name() != string(c.Origin) {
		return nil, fmt.Errorf("checkpoint of %q can't be signed with the key of %q", c.Origin, signer.Name())
	}
	b, err := note.Sign(&note.Note{Text: c.Text()}, signer)
	if err != nil {
		return nil, fmt.Errorf("signing the checkpoint: %w", err)
	}
	return b, nil
}

// OpenCheckpoint reads a signed checkpoint. At least one of the verifiers must
// have signed it, and that one must carry the origin's name.
func OpenCheckpoint(signed []byte, verifiers note.Verifiers) (Checkpoint, error) {
	if len(signed) > maxCheckpointBytes {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes are more than %d", ErrCheckpoint, len(signed), maxCheckpointBytes)
	}
	n, err := note.Open(signed, verifiers)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, sig := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		// Package note passes over the last character's spare bits; here a
		// checkpoint has one spelling.
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("%w: the signature of %q is not in base64", ErrCheckpoint, sig.Name)
		}
	}
	for _, sig := range n.Sigs {
		if sig.Name == string(c.Origin) {
			return c, nil
		}
	}
	return Checkpoint{}, fmt.Errorf("%w: it speaks for %q, who did not sign it", ErrCheckpoint, c.Origin)
}

// ParseCheckpoint reads a checkpoint's body, without its signatures. There is
// one way to write a checkpoint; anything else is refused.
func ParseCheckpoint(text string) (Checkpoint, error) {
	fail := func(what string) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("%w: %s", ErrCheckpoint, what)
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || len(lines) > 5 || lines[len(lines)-1] != "" {
		return fail("it is not origin, size and root, a line each")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return fail("its size is not a whole number")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return fail("its root is not a hash in base64")
	}
	c := Checkpoint{Origin: roll.CommunityID(lines[0]), Size: size, Root: root, Simulated: len(lines) == 5}
	if lines[0] == "" || c.Text() != text {
		return fail("it is not written in the one form that checkpoints have")
	}
	return c, nil
}
