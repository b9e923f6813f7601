// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// crashEnv names the database that a child process writes until it is killed.
const crashEnv = "ALLMENDE_TEST_CRASH_DATABASE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		crashingChild(path)
		return
	}
	goleak.VerifyTestMain(m)
}
