// SPDX-License-Identifier: AGPL-3.0-or-later

// Who is looking at the page, and what she may. The coordinator decides; the
// page only leaves out what would be refused.
import { call, Refusal, words, type Method } from './api'
import { decodeMe, type Me } from './people'

/** Asks or orders, as `call` does. */
export type Caller = (method: Method, path: string, body?: object) => Promise<unknown>

const retry = 3_000

export class Session {
  me = $state.raw<Me | null>(null)
  /** Why it is not known who is looking. */
  fault = $state('')

  #call: Caller
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(caller: Caller = call) {
    this.#call = caller
  }

  /** Finds out who is looking, and keeps trying while nobody answers. */
  async start(): Promise<void> {
    clearTimeout(this.#timer)
    try {
      this.became(decodeMe(await this.#call('GET', '/v1/me')))
    } catch (fault) {
      this.fault = words(fault)
      this.#timer = setTimeout(() => void this.start(), retry)
    }
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  may(permission: string): boolean {
    return this.me?.permissions.has(permission) ?? false
  }

  /** She signed in, or out, or something of her account changed. */
  became(me: Me): void {
    this.me = me
    this.fault = ''
  }

  /** Asks or orders on her behalf; a session that has ended leads back to the sign-in. */
  async ask(method: Method, path: string, body?: object): Promise<unknown> {
    try {
      return await this.#call(method, path, body)
    } catch (fault) {
      if (fault instanceof Refusal && fault.status === 401) await this.start()
      throw fault
    }
  }

  async signOut(everywhere: boolean): Promise<void> {
    await this.#call('POST', '/v1/sign-out', { everywhere })
    await this.start()
  }
}
