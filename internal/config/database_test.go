// SPDX-License-Identifier: AGPL-3.0-or-later

package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/allmende-energy/allmende/internal/config"
)

func TestDatabase(t *testing.T) {
	for src, want := range map[string]string{
		"data: store\n": "dir/store/ledger.db",
		"database: postgres://allmende@db/lane?sslmode=verify-full\n":                                   "postgres://allmende@db/lane?sslmode=verify-full",
		"database: postgres://allmende:s3cret@/lane?host=/run/postgresql\n":                             "postgres://allmende:s3cret@/lane?host=/run/postgresql",
		"database: postgres://allmende@db/lane?sslmode=prefer\ndatabase_password_file: pw\n":            "postgres://allmende@db/lane?password_file=dir%2Fpw&sslmode=prefer",
		"database: postgresql://allmende:s3cret@db/lane\ndatabase_password_file: /run/credentials/pw\n": "postgresql://allmende:s3cret@db/lane?password_file=%2Frun%2Fcredentials%2Fpw",
	} {
		s, err := config.DecodeServe("dir/allmende.yaml", []byte(src))
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		if got := s.Database.Reveal(); got != want {
			t.Errorf("%s: %s", src, got)
		}
		if shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, s.Database); strings.Contains(shown, "s3cret") {
			t.Errorf("%s: the password is shown: %s", src, shown)
		}
	}
	for src, want := range map[string]string{
		"database_password_file: pw\n":                         "there is no database",
		"database: mysql://x/y\n":                              "postgres://",
		"database: postgres://allmende@db/x?password=s3cret\n": "database_password_file",
		"database: \"postgres://a:s3cret@[/x\"\n":              "no address",
	} {
		_, err := config.DecodeServe("dir/allmende.yaml", []byte(src))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", src, err)
		}
	}
}
