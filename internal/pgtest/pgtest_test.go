// SPDX-License-Identifier: AGPL-3.0-or-later

package pgtest_test

import (
	"errors"
	"os"
	"testing"

	"github.com/allmende-energy/allmende/internal/pgtest"
)

func TestServer(t *testing.T) {
	s := &pgtest.Server{}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	var dir string
	t.Run("a database for each", func(t *testing.T) {
		a, b := s.Database(t), s.Database(t)
		dir = s.Dir()
		s.Exec(t, a, "CREATE TABLE x AS SELECT 7 AS n")
		if got := s.Exec(t, b, "SELECT to_regclass('x') IS NULL"); got != "t" {
			t.Errorf("it is in the other, too: %q", got)
		}
		c := s.Copy(t, a)
		s.Kill(t)
		s.Restart(t)
		if got := s.Exec(t, c, "SELECT n FROM x"); got != "7" {
			t.Errorf("the copy has %q", got)
		}
		s.Drop(t, c)
	})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); dir != "" && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder remains: %v", err)
	}
}
