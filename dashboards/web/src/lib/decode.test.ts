// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { decodeCommunity, decodeIntervals, decodeLive, qualityWord } from './decode'
import { DecodeError, integer } from './read'

describe('integer', () => {
  it('reads 64-bit text exactly, up to 2^53', () => {
    expect(integer('9007199254740991', 'x')).toBe(9007199254740991)
    expect(integer('-5', 'x')).toBe(-5)
    expect(integer(undefined, 'x')).toBe(0)
  })
  it.each(['9007199254740992', '1.5', '1e3', '', ' 1', 1.5, true, {}])('refuses %j', (value) => {
    expect(() => integer(value, 'productionMilliwatts')).toThrow(/productionMilliwatts/)
  })
})

const live = {
  sequence: '18446744073709551615',
  atUnixMs: '1760000000000',
  flow: { productionMilliwatts: '1234', ownUseMilliwatts: '1000', quality: 'QUALITY_STALE', missingAssets: 2 },
  members: [{ memberId: 'anna', shareMilliwatts: '77' }],
  batteries: [{ assetId: 'b1', powerMilliwatts: '-500', socPermille: -1 }],
  gateways: [{ gatewayId: 'gw-1', connected: true, spoolPending: '3' }],
  speed: 60,
  ledgerSize: '12',
}

describe('decodeLive', () => {
  it('reads what protobuf writes', () => {
    const got = decodeLive(live)
    expect(got.sequence).toBe(18446744073709551615n)
    expect(got.flow).toMatchObject({ production: 1234, ownUse: 1000, shared: 0, quality: 'QUALITY_STALE', missingAssets: 2 })
    expect(got.members[0]).toMatchObject({ id: 'anna', share: 77, quality: 'QUALITY_GOOD' })
    expect(got.batteries[0]).toMatchObject({ power: -500, charge: null })
    expect(got.gateways[0]).toMatchObject({ connected: true, enrolled: false, pending: '3' })
    expect(got.speed).toBe(60)
  })
  it('takes an almost empty message for an empty community', () => {
    expect(decodeLive({})).toMatchObject({ sequence: 0n, members: [], speed: 1, settledUntil: 0 })
    expect(decodeLive({ flow: null, members: null }).flow.consumption).toBe(0)
  })
  it.each([null, 'text', [], { members: {} }, { flow: 3 }, { sequence: '-1' }, { members: [1] }])('refuses %j', (value) => {
    expect(() => decodeLive(value)).toThrow(DecodeError)
  })
})

it('adds up the pools of an interval and puts the oldest first', () => {
  const pool = { sharedMilliwattHours: '10', gridImportMilliwattHours: '5' }
  const got = decodeIntervals({
    intervals: [
      { leafIndex: '9', startUnixMs: '900000', lengthMs: '900000', pools: [pool, pool] },
      { leafIndex: '8', startUnixMs: '0', lengthMs: '900000', pools: [] },
    ],
  })
  expect(got.map((i) => i.leaf)).toEqual(['8', '9'])
  expect(got[1]).toMatchObject({ shared: 20, gridImport: 10, complete: false })
})

it('knows members and batteries by id', () => {
  const got = decodeCommunity({
    id: 'c',
    members: [{ id: 'a', name: 'Anna' }, { id: 'b' }],
    assets: [{ id: 'x', kind: 'battery', ownerId: 'a', capacityMilliwattHours: '6400000' }, { id: 'y', kind: 'meter' }],
  })
  expect(got.name).toBe('c')
  expect([...got.members]).toEqual([['a', 'Anna'], ['b', 'b']])
  expect([...got.batteries]).toEqual([['x', { owner: 'a', capacity: 6_400_000 }]])
})

it('has a word for a quality that is younger than the page', () => {
  expect(qualityWord('QUALITY_GOOD')).toBe('')
  expect(qualityWord('QUALITY_OF_MERCY' as never)).toBe('doubtful')
})
