// SPDX-License-Identifier: AGPL-3.0-or-later
import { words } from './api'

/** One thing at a time that the coordinator is asked to do, and how it went. */
export class Task {
  busy = $state(false)
  fault = $state('')

  async run(work: () => Promise<void>): Promise<void> {
    if (this.busy) return
    this.busy = true
    this.fault = ''
    try {
      await work()
    } catch (fault) {
      this.fault = words(fault)
    } finally {
      this.busy = false
    }
  }
}
