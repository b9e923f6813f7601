// SPDX-License-Identifier: AGPL-3.0-or-later

// The line to the coordinator: the event stream, what is done when it breaks,
// and in what state it is. All waiting is bounded and on wall time.
import { Refusal, words } from './api'
import { decodeLive, type Live } from './decode'

export type LinkState =
  | 'connecting' // nothing has come yet
  | 'live' // events come in
  | 'polling' // the stream is broken; single answers come in
  | 'quiet' // the coordinator answers, but its figures don't move
  | 'offline' // no answer

export const paths = { events: '/v1/live/events', live: '/v1/live' }

/** The part of EventSource that is used, so that a test can stand in for it. */
export interface Events {
  onopen: ((event: Event) => unknown) | null
  onmessage: ((event: MessageEvent) => unknown) | null
  onerror: ((event: Event) => unknown) | null
  readonly readyState: number
  close(): void
}

export interface LinkOptions {
  open: (url: string) => Events
  get: (path: string) => Promise<unknown>
  /** A new state of the community. `fresh` means asked for after the stream opened: it is the truth, even if older. */
  onLive: (live: Live, fresh: boolean) => void
  onState: (state: LinkState) => void
  /** The stream is open, for the first time or again: all else may have changed. */
  onOpen: () => void
  onFault: (text: string) => void
}

export const pollEvery = 5_000
export const silentAfter = 20_000
const closed = 2 // EventSource.CLOSED
const longestWait = 15_000

export class Link {
  #options: LinkOptions
  #source: Events | null = null
  #state: LinkState = 'connecting'
  #failures = 0
  #poll: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #watch: ReturnType<typeof setTimeout> | undefined
  #newest: bigint | null = null
  #stopped = false

  constructor(options: LinkOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#connect()
  }

  stop(): void {
    this.#stopped = true
    this.#source?.close()
    this.#source = null
    clearTimeout(this.#poll)
    clearTimeout(this.#retry)
    clearTimeout(this.#watch)
  }

  #connect(): void {
    this.#source?.close()
    const source = this.#options.open(paths.events)
    this.#source = source
    source.onopen = () => void this.#opened(source)
    source.onmessage = (event) => this.#received(source, event)
    source.onerror = () => this.#broken(source)
    this.#watchSilence()
  }

  async #opened(source: Events): Promise<void> {
    this.#options.onOpen()
    await this.#ask(true, source)
  }

  #received(source: Events, event: MessageEvent): void {
    if (source !== this.#source) return
    let live: Live
    try {
      live = decodeLive(JSON.parse(String(event.data)))
    } catch (fault) {
      this.#options.onFault(`An event of the stream cannot be read: ${words(fault)}`)
      return
    }
    this.#failures = 0
    this.#newest = live.sequence
    clearTimeout(this.#poll)
    this.#poll = undefined
    this.#set('live')
    this.#watchSilence()
    this.#options.onLive(live, false)
  }

  #broken(source: Events): void {
    if (source !== this.#source || this.#stopped) return
    this.#failures++
    if (this.#poll === undefined) this.#schedulePoll(0)
    if (source.readyState !== closed) return // the browser tries again by itself
    const wait = Math.min(longestWait, 1000 * 2 ** Math.min(this.#failures - 1, 10))
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#connect(), wait)
  }

  /** Heartbeats are invisible to a page, so silence is met with one question. */
  #watchSilence(): void {
    clearTimeout(this.#watch)
    this.#watch = setTimeout(() => void this.#silent(), silentAfter)
  }

  async #silent(): Promise<void> {
    const before = this.#newest
    await this.#ask(false)
    if (this.#stopped) return
    const moved = this.#newest !== before
    if (moved) this.#connect() // the world moves and the stream says nothing: open a new one
    else this.#watchSilence()
  }

  #schedulePoll(wait: number): void {
    this.#poll = setTimeout(async () => {
      await this.#ask(false)
      if (this.#poll !== undefined && !this.#stopped) this.#schedulePoll(pollEvery)
    }, wait)
  }

  /** One question for the present. The answer counts as the truth if it was asked after `source` opened. */
  async #ask(fresh: boolean, source?: Events): Promise<void> {
    try {
      const live = decodeLive(await this.#options.get(paths.live))
      if (this.#stopped || (source && source !== this.#source)) return
      const moved = live.sequence !== this.#newest
      if (!fresh && !moved) {
        this.#set('quiet')
        return
      }
      this.#newest = live.sequence
      if (!fresh) this.#set('polling')
      this.#options.onLive(live, fresh)
    } catch (fault) {
      if (this.#stopped || (source && source !== this.#source)) return
      if (!fresh) this.#set(fault instanceof Refusal ? 'quiet' : 'offline')
      this.#options.onFault(words(fault))
    }
  }

  #set(state: LinkState): void {
    if (state === this.#state) return
    this.#state = state
    this.#options.onState(state)
  }
}
