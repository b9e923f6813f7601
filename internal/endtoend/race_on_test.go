// SPDX-License-Identifier: AGPL-3.0-or-later

//go:build race

package endtoend_test

const raceEnabled = true
