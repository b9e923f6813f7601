// SPDX-License-Identifier: AGPL-3.0-or-later
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Refusal } from './api'
import { Session, type Caller } from './session.svelte'

let asked: string[]
let answers: Record<string, unknown>
const caller: Caller = async (method, path, body) => {
  asked.push(`${method} ${path}${body ? ` ${JSON.stringify(body)}` : ''}`)
  const answer = answers[`${method} ${path}`]
  if (answer instanceof Error) throw answer
  return answer
}
let session: Session

beforeEach(() => {
  vi.useFakeTimers()
  asked = []
  answers = { 'GET /v1/me': { kind: 'person', name: 'Ada', roles: ['member'], permissions: ['live.read'] } }
  session = new Session(caller)
})
afterEach(() => {
  session.stop()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

it('nobody may anything before it is known who looks', () => {
  expect(session.may('live.read')).toBe(false)
})

it('knows what the caller may', async () => {
  await session.start()
  expect(session.me).toMatchObject({ kind: 'person', name: 'Ada', member: '', setupNeeded: false })
  expect(session.may('live.read')).toBe(true)
  expect(session.may('people.read')).toBe(false)
})

it('keeps asking while nobody answers, and says why', async () => {
  answers['GET /v1/me'] = new Error('The coordinator does not answer.')
  await session.start()
  expect(session.fault).toBe('The coordinator does not answer.')
  answers['GET /v1/me'] = { kind: 'none' }
  await vi.advanceTimersByTimeAsync(3_000)
  expect(session.me?.kind).toBe('none')
  expect(session.fault).toBe('')
})

it('a session that has ended is noticed at the next order', async () => {
  await session.start()
  answers['GET /v1/people'] = new Refusal('sign in first', 401)
  answers['GET /v1/me'] = { kind: 'none' }
  await expect(session.ask('GET', '/v1/people')).rejects.toThrow('sign in first')
  expect(session.me?.kind).toBe('none')
})

it('another refusal leaves the session as it is', async () => {
  await session.start()
  answers['GET /v1/people'] = new Refusal('not for you', 403)
  await expect(session.ask('GET', '/v1/people')).rejects.toThrow('not for you')
  expect(session.me?.kind).toBe('person')
  expect(asked.filter((order) => order === 'GET /v1/me')).toHaveLength(1)
})

it('signs out everywhere', async () => {
  await session.start()
  answers['POST /v1/sign-out'] = {}
  answers['GET /v1/me'] = { kind: 'visitor', permissions: ['live.read'] }
  await session.signOut(true)
  expect(asked).toContain('POST /v1/sign-out {"everywhere":true}')
  expect(session.me?.kind).toBe('visitor')
})
