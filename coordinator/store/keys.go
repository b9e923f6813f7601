// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/allmende-energy/allmende/commons/ledger"
	"github.com/allmende-energy/allmende/commons/roll"
)

// PublicSuffix is put behind the key file's name for the verifier key, which
// anybody may have.
const PublicSuffix = ".pub"

// CreateKey makes a checkpoint key: the secret in path, the verifier key beside
// it. It refuses to replace one: a ledger goes on with the key it began with.
func CreateKey(path string, community roll.CommunityID, rand io.Reader) (ledger.Key, error) {
	key, err := ledger.NewKey(rand, community)
	if err != nil {
		return ledger.Key{}, err
	}
	if err := writeNew(path, key.Signer+"\n", 0o600); err != nil {
		return ledger.Key{}, fmt.Errorf("checkpoint key: %w", err)
	}
	if err := writeNew(path+PublicSuffix, key.Verifier+"\n", 0o644); err != nil {
		return ledger.Key{}, fmt.Errorf("checkpoint key: %w", err)
	}
	return key, nil
}

// LoadSigner reads the secret key that CreateKey made.
func LoadSigner(path string) (note.Signer, error) {
	text, err := readKey(path)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint key %s: %w; restore it from the backup", path, err)
	}
	return signer, nil
}

// LoadVerifier reads the verifier key beside the secret key at path, as text
// and ready to use.
func LoadVerifier(path string) (string, note.Verifiers, error) {
	text, err := readKey(path + PublicSuffix)
	if err != nil {
		return "", nil, err
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return "", nil, fmt.Errorf("verifier key %s: %w; restore it from the backup", path+PublicSuffix, err)
	}
	return text, note.VerifierList(v), nil
}

func readKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: restore it from the backup; `allmende init` makes it for a new community", err)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

func writeNew(path, text string, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
