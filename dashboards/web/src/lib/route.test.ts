// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { parse } from './route.svelte'

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
    expect(parse(hash)).toEqual({ place, secret: '' })
  })
  it('reads the secret of a link', () => {
    expect(parse('#/link/abc-DEF_123')).toEqual({ place: 'link', secret: 'abc-DEF_123' })
  })
})
