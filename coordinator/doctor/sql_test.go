// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor_test

import (
	"database/sql"
	"testing"
)

// exec changes the database by the driver that the store has brought along.
func (c *community) exec(t *testing.T, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", c.cfg.LedgerFile())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}
