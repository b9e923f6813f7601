// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { amount, decodeOrders, figure, later, path, says, unit, written } from './orders'

const wire = {
  memberId: 'anna', bid: null, offer: { price: '8 ct/kWh EUR', mostMilliwattHours: '500000' },
  coming: [{ fromUnixMs: '1780014600000', bid: { price: '18 ct/kWh EUR', mostMilliwattHours: '0' }, offer: null }],
  lowestPrice: '5 ct/kWh EUR', highestPrice: '30 ct/kWh EUR', earliestUnixMs: '1780013700000', intervalMs: '900000', timezone: 'Europe/Vienna',
}

describe('a member’s orders', () => {
  it('are read', () => {
    const o = decodeOrders(wire)
    expect([o.bid, o.offer, o.coming.length, o.coming[0]!.bid, o.lowest, o.earliest]).toEqual([
      null, { price: '8 ct/kWh EUR', most: 500_000 }, 1, { price: '18 ct/kWh EUR', most: 0 }, '5 ct/kWh EUR', 1780013700000,
    ])
    expect(() => decodeOrders({ ...wire, offer: [] })).toThrow('offer')
  })

  it('are told where they change', () => {
    const o = decodeOrders({ ...wire, coming: [...wire.coming, { ...wire.coming[0], fromUnixMs: '1780018200000', bid: null }] })
    expect(later(o, 'bid')).toEqual([
      { from: 1780014600000, order: { price: '18 ct/kWh EUR', most: 0 }, before: null },
      { from: 1780018200000, order: null, before: { price: '18 ct/kWh EUR', most: 0 } },
    ])
    expect(later(o, 'offer').map((c) => c.from)).toEqual([1780014600000])
  })

  it('are said in words', () => {
    const o = decodeOrders(wire)
    expect(says('bid', o.bid)).toBe('You bid for nothing.')
    expect(says('offer', o.offer)).toBe('You offer at most 0.5\u00a0kWh in each interval for 8 ct/kWh EUR or more.')
    expect(says('bid', o.coming[0]!.bid)).toBe('You bid up to 18 ct/kWh EUR for all that you still need.')
  })

  it('are written as people write them', () => {
    expect([unit('18.5 ct/kWh EUR'), figure('18.5 ct/kWh EUR'), figure('')]).toEqual(['ct/kWh EUR', '18.5', ''])
    expect(written(' 18,5', '0,25 ', 'ct/kWh EUR')).toEqual({ price: '18.5 ct/kWh EUR', mostMilliwattHours: '250000' })
    expect(written('18', '', 'ct/kWh EUR').mostMilliwattHours).toBe('0')
    expect(written('18', '1234.000001', 'ct/kWh EUR').mostMilliwattHours).toBe('1234000001')
    for (const no of ['0', '0.0000001', '-1', 'much', '1.2.3', '1e3']) expect(() => written('18', no, 'ct/kWh EUR')).toThrow('is no amount')
    expect([amount(null), amount({ price: '', most: 0 }), amount({ price: '', most: 1_234_500_000 })]).toEqual(['', '', '1234.5'])
    expect(path('a/b', 'bid')).toBe('/v1/orders/a%2Fb/bid')
  })
})
