// SPDX-License-Identifier: AGPL-3.0-or-later

package trial

import "syscall"

// yieldToOthers puts the calling thread behind the others, so that the live loop
// does not wait for a comparison. Not behind everything there is: on a busy
// computer it would get next to nothing, and Go stops the world for a collection
// only when each of its threads has come to a place where it can. Where the
// system refuses, the rests have to do.
func yieldToOthers() {
	const behind = 5
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, behind) // 0: on Linux the calling thread
}
