// SPDX-License-Identifier: AGPL-3.0-or-later

// What the page knows, as one object that its parts read from. It listens to
// the link, and asks again for what changes seldom when there is a reason to.
import * as decode from './decode'
import { Clock } from './format'
import { History } from './history'
import { Link, type Events, type LinkState } from './link'

/** Questions about what changes seldom are at least this far apart. */
export const refreshGap = 5_000
/** Figures change at most this often: a demo ticks faster than anybody reads. */
export const showEvery = 1_000

/** A part of the page that is asked for once in a while: what came, or why nothing did. */
export interface Part<T> {
  value: T | null
  fault: string
}

const nothing = { value: null, fault: '' }

export interface WorldOptions {
  open: (url: string) => Events
  get: (path: string) => Promise<unknown>
  /** What the caller may see; the rest is not asked for. */
  may: (permission: string) => boolean
}

export class World {
  link = $state<LinkState>('connecting')
  fault = $state('')
  /** The newest state of the community, or the one at which the page was paused. */
  live = $state.raw<decode.Live | null>(null)
  paused = $state(false)
  community = $state.raw<Part<decode.Community>>(nothing)
  charter = $state.raw<Part<decode.Charter>>(nothing)
  gateways = $state.raw<Part<decode.Gateway[]>>(nothing)
  settled = $state.raw<Part<decode.Settled[]>>(nothing)
  checkpoint = $state.raw<Part<decode.Checkpoint>>(nothing)
  clock = $state.raw(new Clock('UTC'))
  /** Rises with each change of the history. */
  version = $state(0)
  readonly history = new History()

  #options: WorldOptions
  #link: Link
  #newest: decode.Live | null = null
  /** The newest state when the stream was opened: an older answer after that comes from another run. */
  #before: decode.Live | null = null
  #ledgerSeen = ''
  #healthSeen = ''
  #timers = new Map<string, { last: number; timer?: ReturnType<typeof setTimeout> }>()
  #stopped = false
  #shownAt = -Infinity
  #showing: ReturnType<typeof setTimeout> | undefined

  constructor(options: WorldOptions) {
    this.#options = options
    this.#link = new Link({
      ...options,
      onLive: (live, fresh) => this.#accept(live, fresh),
      onState: (state) => (this.link = state),
      onOpen: () => {
        this.#before = this.#newest
        this.#refreshAll()
      },
      onFault: (text) => (this.fault = text),
    })
  }

  start(): void {
    this.#stopped = false
    this.#refreshAll()
    this.#link.start()
  }

  stop(): void {
    this.#stopped = true
    this.#link.stop()
    clearTimeout(this.#showing)
    for (const { timer } of this.#timers.values()) clearTimeout(timer)
  }

  /** Stops, and forgets all that was seen: somebody else looks now, who may see other things. */
  forget(): void {
    this.stop()
    this.#timers.clear()
    this.#showing = undefined
    this.#shownAt = -Infinity
    this.#newest = this.#before = this.live = null
    this.#ledgerSeen = this.#healthSeen = ''
    this.history.clear()
    this.community = this.charter = this.gateways = this.settled = this.checkpoint = nothing
  }

  /** Holds the figures still, or lets them run again. The history goes on meanwhile. */
  pause(on: boolean): void {
    this.paused = on
    if (!on) this.#reveal()
  }

  memberName(id: string): string {
    return this.community.value?.members.get(id) ?? id
  }

  #accept(live: decode.Live, fresh: boolean): void {
    const last = this.#newest
    const anew = fresh && this.#before !== null && live.sequence < this.#before.sequence // the coordinator counts anew
    if (last && live.sequence <= last.sequence && !anew) return // a replay, or an answer that came late
    if (last && live.at < last.at) this.history.clear() // another world answers: its time is its own
    this.#newest = live
    this.fault = ''
    this.history.push(live)
    this.#show()
    this.#follow(live)
  }

  /** Shows the newest state, now or when the last one has been seen long enough. */
  #show(): void {
    if (this.#showing !== undefined) return
    const wait = this.#shownAt + showEvery - Date.now()
    if (wait <= 0) return this.#reveal()
    this.#showing = setTimeout(() => {
      this.#showing = undefined
      this.#reveal()
    }, wait)
  }

  #reveal(): void {
    if (this.paused && this.live) return
    this.#shownAt = Date.now()
    this.live = this.#newest
    this.version = this.history.version
  }

  /** Asks again for what a change in the live state points to. */
  #follow(live: decode.Live): void {
    const ledger = `${live.ledgerSize}/${live.settledUntil}`
    if (ledger !== this.#ledgerSeen) {
      this.#ledgerSeen = ledger
      this.#soon('settled', () => this.#refreshLedger())
    }
    const health = live.gateways.map((g) => `${g.id}${g.connected}${g.enrolled}${g.devicesOnline}/${g.devicesTotal}${g.problem}`).join()
    if (health !== this.#healthSeen) {
      this.#healthSeen = health
      this.#soon('gateways', () => this.#refreshGateways())
    }
  }

  #refreshAll(): void {
    this.#soon('all', async () => {
      await Promise.all([this.#refreshCommunity(), this.#refreshLedger(), this.#refreshGateways()])
    })
  }

  async #refreshCommunity(): Promise<void> {
    this.community = await this.#ask('community.read', '/v1/community', decode.decodeCommunity, this.community)
    const zone = this.community.value?.timezone
    if (zone && zone !== this.clock.zone) this.clock = new Clock(zone) // a new clock redraws much
  }

  async #refreshLedger(): Promise<void> {
    const [charter, settled, checkpoint] = await Promise.all([
      this.#ask('charter.read', '/v1/charter', decode.decodeCharter, this.charter),
      this.#ask('intervals.read', '/v1/intervals?pageSize=96', decode.decodeIntervals, this.settled),
      this.#ask('checkpoint.read', '/v1/ledger/checkpoint', decode.decodeCheckpoint, this.checkpoint),
    ])
    this.charter = charter
    this.settled = settled
    this.checkpoint = checkpoint
  }

  async #refreshGateways(): Promise<void> {
    this.gateways = await this.#ask('gateways.read', '/v1/gateways', decode.decodeGateways, this.gateways)
  }

  /** What came, or what was there before with the reason why nothing newer is. */
  async #ask<T>(permission: string, path: string, read: (value: unknown) => T, before: Part<T>): Promise<Part<T>> {
    if (!this.#options.may(permission)) return nothing
    try {
      return { value: read(await this.#options.get(path)), fault: '' }
    } catch (fault) {
      return { value: before.value, fault: fault instanceof Error ? fault.message : String(fault) }
    }
  }

  /** Runs now, or as soon as the gap since the last run of that name has passed; many calls become one. */
  #soon(name: string, run: () => Promise<void>): void {
    if (this.#stopped) return
    const slot = this.#timers.get(name) ?? { last: -Infinity }
    this.#timers.set(name, slot)
    if (slot.timer !== undefined) return
    const wait = Math.max(0, slot.last + refreshGap - Date.now())
    slot.timer = setTimeout(() => {
      slot.timer = undefined
      slot.last = Date.now()
      void run()
    }, wait)
  }
}
