// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/allmende-energy/allmende/commons/ledger"
)

// The frontier agrees with package tlog, which stores every hash, and proofs of
// it hold for the right leaf only.
func TestFrontierAgreesWithStoredTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f ledger.Frontier
		var stored []tlog.Hash
		reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for i, x := range at {
				out[i] = stored[x]
			}
			return out, nil
		})
		leaves := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 8), 0, 70).Draw(t, "leaves")
		for n, leaf := range leaves {
			fresh, err := ledger.TreeHashes(int64(n), leaf, reader)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Append(leaf); !slices.Equal(got, fresh) {
				t.Fatalf("leaf %d: %v, stored are %v", n, got, fresh)
			}
			stored = append(stored, fresh...)
		}
		size := int64(len(leaves))
		root, err := tlog.TreeHash(size, reader)
		if err != nil || root != f.Root() || f.Size() != size {
			t.Fatalf("root %v, stored %v, %v", f.Root(), root, err)
		}
		if size == 0 {
			return
		}
		i := rapid.Int64Range(0, size-1).Draw(t, "index")
		proof, err := ledger.ProveLeaf(size, i, reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.CheckLeaf(proof, size, root, i, leaves[i]); err != nil {
			t.Fatal(err)
		}
		if ledger.CheckLeaf(proof, size, root, i, append(leaves[i], 0)) == nil {
			t.Fatal("the proof holds for another leaf")
		}
	})
}

func TestCheckpointRoundTrip(t *testing.T) {
	key, err := ledger.NewKey(bytes.NewReader(make([]byte, 64)), village)
	if err != nil {
		t.Fatal(err)
	}
	signer := must(t, must2s(t)(note.NewSigner(key.Signer)), nil)
	verifiers := note.VerifierList(must2v(t)(note.NewVerifier(key.Verifier)))
	rapid.Check(t, func(t *rapid.T) {
		c := ledger.Checkpoint{Origin: village, Size: rapid.Int64Min(0).Draw(t, "size"), Simulated: rapid.Bool().Draw(t, "simulated")}
		copy(c.Root[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
		signed, err := ledger.SignCheckpoint(c, signer)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ledger.OpenCheckpoint(signed, verifiers)
		if err != nil || again != c {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
		at := rapid.IntRange(0, len(signed)-1).Draw(t, "byte")
		signed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "xor"))
		if _, err := ledger.OpenCheckpoint(signed, verifiers); !errors.Is(err, ledger.ErrCheckpoint) {
			t.Fatalf("changed at byte %d: %v", at, err)
		}
	})
}

// Every character of a checkpoint counts, also the bits of base64 that a
// decoder may pass over.
func TestEveryByteOfACheckpointCounts(t *testing.T) {
	m := newMemory(t)
	m.sign(ledger.Checkpoint{Origin: village, Size: 7, Simulated: true})
	for at := range m.head {
		for bit := range 8 {
			changed := bytes.Clone(m.head)
			changed[at] ^= 1 << bit
			if _, err := ledger.OpenCheckpoint(changed, m.verifiers); !errors.Is(err, ledger.ErrCheckpoint) {
				t.Fatalf("byte %d, bit %d: %v", at, bit, err)
			}
		}
	}
}

func TestCheckpointRefusals(t *testing.T) {
	m := newMemory(t)
	if _, err := ledger.SignCheckpoint(ledger.Checkpoint{Origin: "ulme"}, m.signer); err == nil {
		t.Error("signed for another community")
	}
	if _, err := ledger.NewKey(strings.NewReader(""), village); err == nil {
		t.Error("a key without randomness")
	}
	if _, err := ledger.NewKey(bytes.NewReader(make([]byte, 64)), "a b"); err == nil {
		t.Error("a key with a name that notes can't carry")
	}
	// Signed by somebody who is known, but does not speak for the origin.
	foreign, err := note.Sign(&note.Note{Text: ledger.Checkpoint{Origin: "ulme"}.Text()}, m.signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.OpenCheckpoint(foreign, m.verifiers); !errors.Is(err, ledger.ErrCheckpoint) {
		t.Errorf("error %v", err)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(ledger.Checkpoint{Origin: village, Size: 7}.Text())
	f.Add(ledger.Checkpoint{Origin: village, Simulated: true}.Text())
	f.Add("linden\n+7\nAAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ledger.ParseCheckpoint(text)
		if err == nil && c.Text() != text {
			t.Fatalf("%q came back as %q", text, c.Text())
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	m := newMemory(f)
	m.sign(ledger.Checkpoint{Origin: village, Size: 7})
	signed := bytes.Clone(m.head)
	f.Add(signed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ledger.OpenCheckpoint(b, m.verifiers); err == nil && c.Size != 7 {
			t.Fatalf("a checkpoint that was never signed: %q", b)
		}
	})
}
