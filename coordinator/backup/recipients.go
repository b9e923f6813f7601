// SPDX-License-Identifier: AGPL-3.0-or-later

package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// ErrEncrypted: the backup is encrypted, and no key that opens it was given.
var ErrEncrypted = errors.New("this backup is encrypted: pass --identity with the file of the key that opens it (the line AGE-SECRET-KEY-1… that was noted when the key was made)")

// Recipients may open an encrypted backup, each with a key of her own.
type Recipients []age.Recipient

const (
	maxKeyFile    = 64 << 10
	maxRecipients = 100
)

// ParseRecipient reads one recipient: an age1… key, or the line of an SSH public key.
func ParseRecipient(text string) (age.Recipient, error) {
	text = strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(text, "AGE-SECRET-KEY-"):
		return nil, errors.New("that is the secret key, which opens backups: give the other line, which begins with age1, and keep this one on paper")
	case strings.HasPrefix(text, "ssh-"):
		return agessh.ParseRecipient(text)
	}
	r, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%.80q is no recipient: write an age1… key, or the line of an SSH public key; `allmende backup key` makes one", text)
	}
	return r[0], nil
}

// ReadRecipients reads a file with one recipient a line.
func ReadRecipients(path string) (Recipients, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	var out Recipients
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r, err := ParseRecipient(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		if out = append(out, r); len(out) > maxRecipients {
			return nil, fmt.Errorf("%s: more than %d recipients", path, maxRecipients)
		}
	}
	if len(out) == 0 {
		return nil, errors.Join(fmt.Errorf("%s names no recipient", path), lines.Err())
	}
	return out, lines.Err()
}

// ReadIdentities reads a file with the keys that open a backup: age's own, or an
// SSH private key without a passphrase.
func ReadIdentities(path string) ([]age.Identity, error) {
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(b, []byte("-----BEGIN")) {
		id, err := agessh.ParseIdentity(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; a key with a passphrase: decrypt the backup with the age program first, then restore the result", path, err)
		}
		return []age.Identity{id}, nil
	}
	ids, err := age.ParseIdentities(bytes.NewReader(upperKeys(b)))
	if err != nil {
		return nil, fmt.Errorf("%s is no key that opens backups (%w): it is a line that begins with AGE-SECRET-KEY-1", path, err)
	}
	return ids, nil
}

// upperKeys forgives what happens to a key that was typed in from paper: small
// letters and blanks around it. And it takes what "allmende backup key" printed
// as it is: the key behind its title, and the line of the public one.
func upperKeys(b []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if !bytes.HasPrefix(line, []byte("#")) {
			line = bytes.ToUpper(bytes.ReplaceAll(line, []byte(" "), nil))
			if at := bytes.Index(line, []byte("AGE-SECRET-KEY-")); at > 0 {
				line = line[at:]
			} else if bytes.Contains(line, []byte(":AGE1")) {
				continue
			}
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("%s is too long to be a file of keys", path)
	}
	return b, nil
}

// Key is a new pair of keys: backups are made for the recipient, and opened with
// the identity.
type Key struct {
	Recipient string `json:"recipient"`
	Identity  string `json:"identity"`
}

// NewKey makes a pair of keys.
func NewKey() (Key, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return Key{}, err
	}
	return Key{id.Recipient().String(), id.String()}, nil
}

// fileKey opens one backup. It is kept in memory while that is made, so that it
// can be read back by a program that has no recipient's key.
type fileKey []byte

func (k fileKey) identities() []age.Identity {
	if k == nil {
		return nil
	}
	return []age.Identity{age.NewInjectedFileKeyIdentity(k)}
}

// seal encrypts what is written, for each recipient; for none it passes it on.
func (r Recipients) seal(w io.Writer) (fileKey, io.WriteCloser, error) {
	if len(r) == 0 {
		return nil, nopCloser{w}, nil
	}
	keeper := &keeping{Recipient: r[0]}
	sealed, err := age.Encrypt(w, append([]age.Recipient{keeper}, r[1:]...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("encrypting: %w", err)
	}
	return keeper.key, sealed, nil
}

// keeping is a recipient that remembers what it was given to wrap.
type keeping struct {
	age.Recipient
	key fileKey
}

// Wrap implements [age.Recipient].
func (k *keeping) Wrap(key []byte) ([]*age.Stanza, error) {
	k.key = slices.Clone(key)
	return k.Recipient.Wrap(key)
}

// WrapWithLabels implements [age.RecipientWithLabels].
func (k *keeping) WrapWithLabels(key []byte) ([]*age.Stanza, []string, error) {
	if labelled, ok := k.Recipient.(age.RecipientWithLabels); ok {
		k.key = slices.Clone(key)
		return labelled.WrapWithLabels(key)
	}
	s, err := k.Wrap(key)
	return s, nil, err
}
