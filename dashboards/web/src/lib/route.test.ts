// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { address, parse } from './route.svelte'

describe('parse', () => {
  it.each([
    ['', 'now'],
    ['#', 'now'],
    ['#/people', 'people'],
    ['#/sign-in', 'sign-in'],
    ['#/nowhere', 'now'],
    ['#/link/', 'now'],
    ['#people', 'now'],
  ])('%j is %s', (hash, place) => {
    expect(parse(hash)).toEqual({ place, secret: '', of: [] })
  })
  it('reads what of a place, and writes it', () => {
    expect(parse('#/energy/a%2Fb/17')).toEqual({ place: 'energy', secret: '', of: ['a/b', '17'] })
    expect(address('energy', 'a/b', 17)).toBe('#/energy/a%2Fb/17')
    expect(parse('#/energy/%E2').of).toEqual(['%E2'])
    expect(parse('#/nowhere/else').of).toEqual([])
  })
  it('reads the secret of a link', () => {
    expect(parse('#/link/abc-DEF_123')).toEqual({ place: 'link', secret: 'abc-DEF_123', of: [] })
  })
})
