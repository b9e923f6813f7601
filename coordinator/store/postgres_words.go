// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"bytes"
	"io"
	"io/fs"
	"regexp"
)

// postgresWords shows migrations in the words of PostgreSQL. Text is compared
// by its bytes there, too, whatever the server's language.
type postgresWords struct{ fs.FS }

// Open implements [fs.FS].
func (w postgresWords) Open(name string) (fs.File, error) {
	f, err := w.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return f, err
	}
	src, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return translated{f, bytes.NewReader(toPostgres(src))}, nil
}

type translated struct {
	fs.File
	text *bytes.Reader
}

// Read implements [fs.File].
func (t translated) Read(p []byte) (int, error) { return t.text.Read(p) }

// typeWord finds what is different, and comments, in which nothing is.
var typeWord = regexp.MustCompile(`--[^\n]*|'[^']*'|\b(BLOB|TEXT|INTEGER)\b`)

func toPostgres(src []byte) []byte {
	return typeWord.ReplaceAllFunc(src, func(word []byte) []byte {
		switch string(word) {
		case "BLOB":
			return []byte("BYTEA")
		case "TEXT":
			return []byte(`TEXT COLLATE "C"`)
		case "INTEGER":
			return []byte("BIGINT")
		}
		return word
	})
}
