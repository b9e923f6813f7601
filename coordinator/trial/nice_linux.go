// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import "syscall"

// yieldToOthers puts the calling thread behind all others, so that the live loop
// never waits for a comparison. Where the system refuses, the rests have to do.
func yieldToOthers() {
	const least = 19
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, least) // 0: on Linux the calling thread
}
