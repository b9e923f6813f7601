// SPDX-License-Identifier: AGPL-3.0-or-later

package store_test

import (
	"fmt"
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
	if path := os.Getenv(faultEnv); path != "" {
		faultyChild(path)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}
