// SPDX-License-Identifier: AGPL-3.0-or-later

package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// The Merkle tree is that of RFC 6962, as golang.org/x/mod/sumdb/tlog computes
// it. Its hashes live wherever a [tlog.HashReader] reads them from.

// TreeHashes are the hashes to store when leaf number n (counted from 0) is
// appended, at the indexes from [tlog.StoredHashIndex](0, n) on.
func TreeHashes(n int64, leaf []byte, r tlog.HashReader) ([]tlog.Hash, error) {
	h, err := tlog.StoredHashes(n, leaf, r)
	if err != nil {
		return nil, fmt.Errorf("tree hashes of leaf %d: %w", n, err)
	}
	return h, nil
}

// ProveLeaf is the evidence that the tree of the given size holds leaf number index.
func ProveLeaf(size, index int64, r tlog.HashReader) (tlog.RecordProof, error) {
	return tlog.ProveRecord(size, index, r)
}

// CheckLeaf checks what [ProveLeaf] made against a root that the caller trusts.
func CheckLeaf(proof tlog.RecordProof, size int64, root tlog.Hash, index int64, leaf []byte) error {
	return tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(leaf))
}

// ProveGrowth is the evidence that the tree of size oldSize is a prefix of that of size.
func ProveGrowth(size, oldSize int64, r tlog.HashReader) (tlog.TreeProof, error) {
	return tlog.ProveTree(size, oldSize, r)
}

// CheckGrowth checks what [ProveGrowth] made: nothing that the old root stood for was changed.
func CheckGrowth(proof tlog.TreeProof, size int64, root tlog.Hash, oldSize int64, oldRoot tlog.Hash) error {
	return tlog.CheckTree(proof, size, root, oldSize, oldRoot)
}

// Frontier computes a tree's root while leaves pass by, keeping one hash per
// level: what a verifier needs who has every leaf and trusts no stored hash.
type Frontier struct {
	size  int64
	edge  []tlog.Hash // edge[l] is the last complete subtree of 2^l leaves without a right neighbour, where bit l of size is set
	fresh []tlog.Hash // what the last Append completed, by level
}

// Append takes the next leaf and returns the hashes of the subtrees that it
// completes, by level: exactly what [TreeHashes] stores for it. The slice is
// good until the next call.
func (f *Frontier) Append(leaf []byte) []tlog.Hash {
	h := tlog.RecordHash(leaf)
	f.fresh = append(f.fresh[:0], h)
	level := 0
	for f.size>>level&1 == 1 {
		h = tlog.NodeHash(f.edge[level], h)
		f.fresh = append(f.fresh, h)
		level++
	}
	if level == len(f.edge) {
		f.edge = append(f.edge, h)
	} else {
		f.edge[level] = h
	}
	f.size++
	return f.fresh
}

// Size is the number of leaves so far.
func (f *Frontier) Size() int64 { return f.size }

// Root is the tree's hash so far.
func (f *Frontier) Root() tlog.Hash {
	var root tlog.Hash
	started := false
	for level, h := range f.edge {
		switch {
		case f.size>>level&1 == 0:
		case !started:
			root, started = h, true
		default:
			root = tlog.NodeHash(h, root)
		}
	}
	if !started {
		root, _ = tlog.TreeHash(0, nil) // the empty tree's hash needs no reader
	}
	return root
}
