// SPDX-License-Identifier: AGPL-3.0-or-later
import { untrack } from 'svelte'
import { words } from './api'

/** One thing at a time that the coordinator is asked to do, and how it went. */
export class Task {
  busy = $state(false)
  fault = $state('')

  /** An effect that runs a task does not depend on what the task looks at: it would run again when it ends. */
  run(work: () => Promise<void>): Promise<void> {
    return untrack(() => this.#run(work))
  }

  async #run(work: () => Promise<void>): Promise<void> {
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
