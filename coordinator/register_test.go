// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"github.com/allmende-energy/allmende/commons/roll"
)

// always is what a register says that never changes.
func always(c roll.Community) standing {
	dated := roll.Always(c)
	return standing{Present: c, Dated: dated, Coming: dated}
}
