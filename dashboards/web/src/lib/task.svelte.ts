// SPDX-License-Identifier: AGPL-3.0-or-later
import { untrack } from 'svelte'
import { Refusal, words } from './api'

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

/**
 * What a question gave, of which only the newest counts: an answer that comes
 * after another question was put is let go, so that no figure stands under
 * somebody else's name.
 */
export class Answer<T> {
  value = $state.raw<T | null>(null)
  busy = $state(false)
  fault = $state.raw<unknown>(null)

  #turn = 0
  #about = ''

  /** Asks; what was there stays until the answer comes, where it is about the same. */
  ask(about: string, work: () => Promise<T>): Promise<void> {
    return untrack(() => this.#ask(about, work))
  }

  async #ask(about: string, work: () => Promise<T>): Promise<void> {
    const turn = ++this.#turn
    if (about !== this.#about) this.value = null
    this.#about = about
    this.busy = true
    this.fault = null
    let value: T | null = null
    let fault: unknown = null
    try {
      value = await work()
    } catch (thrown) {
      fault = thrown
    }
    if (turn !== this.#turn) return
    this.busy = false
    this.fault = fault
    if (fault === null) this.value = value
    else if (fault instanceof Refusal) this.value = null // what was there is no longer so
  }

  /** Why there is no answer, for people; empty where there is one. */
  get trouble(): string {
    return this.fault === null ? '' : words(this.fault)
  }
}
