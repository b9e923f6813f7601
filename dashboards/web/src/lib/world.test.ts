// SPDX-License-Identifier: AGPL-3.0-or-later
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Refusal } from './api'
import { pollEvery, silentAfter, type Events } from './link'
import { refreshGap, showEvery, World } from './world.svelte'

class FakeEvents implements Events {
  static all: FakeEvents[] = []
  onopen: Events['onopen'] = null
  onmessage: Events['onmessage'] = null
  onerror: Events['onerror'] = null
  readyState = 1
  closed = false
  constructor(readonly url: string) {
    FakeEvents.all.push(this)
  }
  close(): void {
    this.closed = true
    this.readyState = 2
  }
  open = () => this.onopen?.(new Event('open'))
  send = (data: unknown) => this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(data) }))
  fail = (readyState: number) => {
    this.readyState = readyState
    this.onerror?.(new Event('error'))
  }
}

const live = (sequence: number, more: object = {}) => ({
  sequence: String(sequence),
  atUnixMs: String(1_000_000 + sequence * 1000),
  flow: { consumptionMilliwatts: String(sequence) },
  ...more,
})

let answers: Record<string, unknown>
let asked: string[]
let forbidden: Set<string>
let world: World
const newest = () => FakeEvents.all.at(-1)!
const times = (path: string) => asked.filter((p) => p.startsWith(path)).length

beforeEach(() => {
  vi.useFakeTimers()
  FakeEvents.all = []
  asked = []
  forbidden = new Set()
  answers = { '/v1/live': live(1), '/v1/community': { name: 'C', timezone: 'UTC' }, '/v1/charter': { name: 'Rules' }, '/v1/gateways': {}, '/v1/intervals?pageSize=96': {}, '/v1/ledger/checkpoint': {} }
  world = new World({
    open: (url) => new FakeEvents(url),
    get: async (path) => {
      asked.push(path)
      const answer = answers[path]
      if (answer instanceof Error) throw answer
      return answer
    },
    may: (permission) => !forbidden.has(permission),
  })
  world.start()
})
afterEach(() => {
  world.stop()
  expect(vi.getTimerCount()).toBe(0) // nothing goes on after the end
  vi.useRealTimers()
})

/** Answers arrive, and the newest state is shown. */
const settle = () => vi.advanceTimersByTimeAsync(showEvery)

describe('the live line', () => {
  it('is live with the first event, and reads the rest once', async () => {
    newest().open()
    await settle()
    newest().send(live(2))
    await settle()
    expect(world.link).toBe('live')
    expect(world.live?.sequence).toBe(2n)
    expect(world.community.value?.name).toBe('C')
    expect(times('/v1/community')).toBe(1)
  })

  it('drops replays and answers that come late', async () => {
    newest().send(live(5))
    newest().send(live(4))
    newest().send(live(5, { flow: { consumptionMilliwatts: '99' } }))
    expect(world.live?.flow.consumption).toBe(5)
    answers['/v1/live'] = live(4) // asked before event 5, answered after it
    newest().fail(0)
    await settle()
    expect(world.live?.sequence).toBe(5n)
    expect(world.history.points).toHaveLength(1)
  })

  it('asks instead while the stream is broken, and says so', async () => {
    newest().send(live(2))
    answers['/v1/live'] = live(3)
    newest().fail(0)
    await settle()
    expect(world.link).toBe('polling')
    expect(world.live?.sequence).toBe(3n)
    answers['/v1/live'] = new Error('network')
    await vi.advanceTimersByTimeAsync(pollEvery)
    expect(world.link).toBe('offline')
    expect(world.live?.sequence).toBe(3n) // the last figures stay
    newest().send(live(9))
    expect(world.link).toBe('live')
    const before = times('/v1/live')
    await vi.advanceTimersByTimeAsync(2 * pollEvery)
    expect(times('/v1/live')).toBe(before) // live again: no more questions
  })

  it('tells a coordinator that has nothing yet from one that is away', async () => {
    answers['/v1/live'] = new Refusal('the first tick has not passed yet')
    newest().fail(0)
    await settle()
    expect(world.link).toBe('quiet')
    expect(world.fault).toMatch(/first tick/)
  })

  it('opens a new stream when the browser gave up, later each time', async () => {
    answers['/v1/live'] = new Error('network')
    for (const wait of [1000, 2000, 4000, 8000, 15_000, 15_000]) {
      const before = FakeEvents.all.length
      newest().fail(2)
      await vi.advanceTimersByTimeAsync(wait - 1)
      expect(FakeEvents.all).toHaveLength(before)
      await vi.advanceTimersByTimeAsync(1)
      expect(FakeEvents.all).toHaveLength(before + 1)
    }
  })

  it('meets silence with a question: still, or a dead stream', async () => {
    newest().send(live(1))
    await vi.advanceTimersByTimeAsync(silentAfter)
    expect(world.link).toBe('quiet') // the same sequence: the world stands still
    expect(FakeEvents.all).toHaveLength(1)
    answers['/v1/live'] = live(7)
    await vi.advanceTimersByTimeAsync(silentAfter)
    expect(FakeEvents.all).toHaveLength(2) // the world moved and the stream said nothing
    expect(FakeEvents.all[0]!.closed).toBe(true)
  })

  it('says what is wrong with an event, and goes on', () => {
    newest().send({ sequence: 'x' })
    expect(world.fault).toMatch(/sequence/)
    newest().send(live(2))
    expect(world.fault).toBe('')
  })
})

describe('a coordinator that starts again', () => {
  it('is not mistaken for one whose first answer came after the first events', async () => {
    newest().send(live(3))
    answers['/v1/live'] = live(4)
    newest().open()
    newest().send(live(5))
    await settle()
    expect(world.live?.sequence).toBe(5n)
    expect(world.history.points).toHaveLength(2)
  })
  it('is followed though it counts anew, and the history goes on', async () => {
    newest().send(live(500))
    answers['/v1/live'] = { ...live(3), atUnixMs: '9000000' }
    newest().fail(0)
    newest().open()
    await settle()
    expect(world.live?.sequence).toBe(3n)
    expect(world.history.points).toHaveLength(2)
    newest().send({ ...live(4), atUnixMs: '9001000' })
    await settle()
    expect(world.live?.sequence).toBe(4n)
  })
  it('with an earlier world time begins a new history', async () => {
    newest().send(live(500))
    answers['/v1/live'] = live(3)
    newest().open()
    await settle()
    expect(world.history.points.map((p) => p.at)).toEqual([1_003_000])
  })
})

describe('the pace', () => {
  it('is one picture a second, however fast the ticks are; the history has them all', async () => {
    newest().send(live(1))
    expect(world.live?.sequence).toBe(1n) // the first at once
    for (let i = 2; i < 8; i++) newest().send(live(i))
    expect(world.live?.sequence).toBe(1n)
    await vi.advanceTimersByTimeAsync(showEvery)
    expect(world.live?.sequence).toBe(7n)
    expect(world.history.points).toHaveLength(7)
  })
})

describe('pause', () => {
  it('holds the figures and catches up', async () => {
    newest().send(live(2))
    world.pause(true)
    newest().send(live(3))
    await settle()
    expect(world.live?.sequence).toBe(2n)
    expect(world.history.points).toHaveLength(2)
    world.pause(false)
    expect(world.live?.sequence).toBe(3n)
  })
})

describe('what changes seldom', () => {
  it('is asked for when the ledger or a gateway changes, and not more often than the gap', async () => {
    newest().send(live(2))
    await vi.advanceTimersByTimeAsync(2 * refreshGap)
    const before = { intervals: times('/v1/intervals'), gateways: times('/v1/gateways') }
    for (let i = 3; i < 13; i++) newest().send(live(i, { ledgerSize: String(i), gateways: [{ gatewayId: 'g', devicesOnline: i }] }))
    await settle()
    expect(times('/v1/intervals')).toBe(before.intervals + 1)
    expect(times('/v1/gateways')).toBe(before.gateways + 1)
    newest().send(live(20, { ledgerSize: '99' }))
    await settle()
    expect(times('/v1/intervals')).toBe(before.intervals + 1)
    await vi.advanceTimersByTimeAsync(refreshGap)
    expect(times('/v1/intervals')).toBe(before.intervals + 2)
  })
  it('keeps what it had when a question fails, with the reason', async () => {
    await settle()
    expect(world.charter.value?.name).toBe('Rules')
    answers['/v1/charter'] = new Error('the ledger is being moved')
    await vi.advanceTimersByTimeAsync(refreshGap)
    newest().send(live(2, { ledgerSize: '5' }))
    await settle()
    expect(world.charter).toMatchObject({ value: { name: 'Rules' }, fault: 'the ledger is being moved' })
  })
})

describe('who looks', () => {
  it('is not shown what she may not see: it is not even asked for', async () => {
    world.stop()
    forbidden = new Set(['gateways.read', 'charter.read'])
    asked = []
    world = new World({
      open: (url) => new FakeEvents(url),
      get: async (path) => {
        asked.push(path)
        return answers[path]
      },
      may: (permission) => !forbidden.has(permission),
    })
    world.start()
    await settle()
    expect(times('/v1/community')).toBe(1)
    expect(times('/v1/gateways') + times('/v1/charter')).toBe(0)
    expect(world.charter).toEqual({ value: null, fault: '' })
  })

  it('finds nothing of whoever looked before', async () => {
    newest().open()
    newest().send(live(7))
    await settle()
    world.forget()
    expect(world.live).toBeNull()
    expect(world.history.points).toHaveLength(0)
    expect(world.community.value).toBeNull()
    expect(newest().closed).toBe(true)
    world.start()
    newest().send(live(3)) // an older picture than the last: another's does not count
    expect(world.live?.sequence).toBe(3n)
  })
})
