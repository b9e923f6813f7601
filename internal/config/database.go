// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"net/url"
	"path/filepath"

	"github.com/allmende-energy/allmende/internal/settings"
)

// Database is where inbox, ledger and state are.
type Database struct {
	URL          settings.Secret // of a PostgreSQL server; empty: a file in the data folder
	PasswordFile string
}

func databasePart(s *Serve) settings.Part {
	f := &s.Server
	return settings.Part{
		Title: "Database",
		Intro: "Where inbox, ledger and state are: in a file of the data folder, which suits nearly everybody, or on a PostgreSQL server; see docs/postgres.md.",
		Keys: []settings.Key{
			{
				Name: "database", Value: settings.HiddenURL(&f.URL, "address of a PostgreSQL database", "postgres", "postgresql"),
				Example: "postgres://allmende@db.example.org/lane?sslmode=verify-full",
				Help:    "A database on a PostgreSQL server, one for each community. Without it the ledger is a file in the data folder. Changing it moves nothing: `allmende backup` and then `allmende restore --database` do.",
			},
			{
				Name: "database_password_file", Value: settings.Path(&f.PasswordFile, s.Dir), Example: "database.password",
				Help: "A file that holds the password of the database's user and nothing else. Without it the address may hold one, or PostgreSQL's own password file (PGPASSFILE, ~/.pgpass).",
			},
		},
		Check: func(report settings.Report) {
			if f.PasswordFile != "" && f.URL.IsZero() {
				report("database_password_file", "there is no database to log in to: name it at database, or leave this line out")
			}
			u, err := url.Parse(f.URL.Reveal())
			if err == nil && !f.URL.IsZero() && u.Query().Has("password") {
				report("database", "a password in a parameter gets into error messages: write its file at database_password_file")
			}
		},
	}
}

// LedgerFile is where the ledger is when it is in a file, and where a backup
// brings it from when it is not.
func (s *Serve) LedgerFile() string { return filepath.Join(s.Data, "ledger.db") }

// in is the name of the database, as package store takes it.
func (d *Database) in(data string) settings.Secret {
	if d.URL.IsZero() {
		path := filepath.Join(data, "ledger.db")
		return settings.Masked(path, path)
	}
	u, err := url.Parse(d.URL.Reveal())
	if err != nil || d.PasswordFile == "" { // HiddenURL has parsed it before
		return d.URL
	}
	q := u.Query()
	q.Set("password_file", d.PasswordFile)
	u.RawQuery = q.Encode()
	return settings.Masked(u.String(), d.URL.String())
}
