// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from 'vitest'
import { decodeBooked, question, total } from './booked'

it('reads what was booked, oldest first, and adds it up exactly', () => {
  const all = decodeBooked({
    energies: [
      { startUnixMs: '2000', endUnixMs: '3000', shareMilliwattHours: '9007199254740', fromStorageMilliwattHours: '1', consumptionMilliwattHours: '5' },
      { startUnixMs: '1000', endUnixMs: '2000', shareMilliwattHours: '2', consumptionMilliwattHours: '7' },
    ],
  })
  expect(all.map((one) => one.start)).toEqual([1000, 2000])
  expect([total(all, 'share'), total(all, 'fromStorage'), total(all, 'consumption')]).toEqual([9007199254742, 1, 12])
})

it('names the field that is not as agreed', () => {
  expect(() => decodeBooked({ energies: [{ shareMilliwattHours: '1.5' }] })).toThrow(/shareMilliwattHours/)
})

it('asks for one member and one span', () => {
  expect(question('a/b', 'day', 100_000_000)).toBe('/v1/history/members/a%2Fb/booked?fromUnixMs=13600000&toUnixMs=100000001&by=BOOKED_BY_INTERVAL')
})
