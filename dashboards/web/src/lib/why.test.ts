// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { Refusal } from './api'
import { marketFigures } from './market'
import { countsWith, decodeWhy, figures, happened, recheck, recompute, story, whyNot, type RoundShare } from './why'

const you = { name: 'Dora', self: true }
const dora = { name: 'Dora', self: false }
const plain = (text: string) => text.replaceAll('\u00a0', ' ')

/** As the coordinator answers: rules version 2, a round that runs short and one that is enough. */
const wire = () => ({
  memberId: 'dora', startUnixMs: '1782579600000', lengthMs: '900000', leafIndex: '743', revision: 0, complete: true, quality: 'QUALITY_GOOD',
  charterName: 'Needs first', charterHash: 'c115', rulesVersion: 2,
  pools: [
    {
      poolId: 'grid', demandMilliwattHours: '215000', supplyMilliwattHours: '0', shareMilliwattHours: '46274', fromStorageMilliwattHours: '15000', gridImportMilliwattHours: '153726',
      rounds: [
        {
          round: 'the floor', source: 'sun', method: 'equal', says: 'Round 1.', needMilliwattHours: '200000', weightMillionths: '0', capMilliwattHours: '200000', gotMilliwattHours: '46274', arithmetic: '92548 ÷ 2 = 46274.',
          certificate: { poolMilliwattHours: '92548', demandMilliwattHours: '349000', sharedMilliwattHours: '92548', num: '92548', den: '2', remainder: '0', cut: '0', tieRank: '0', rank: '14781098674355103338', unitMilliwattHours: '1', exact: true },
        },
        {
          round: 'everybody', source: 'storage', method: 'equal', says: 'Round 2.', needMilliwattHours: '15000', gotMilliwattHours: '15000', arithmetic: '',
          certificate: { poolMilliwattHours: '246662', demandMilliwattHours: '979662', sharedMilliwattHours: '246662', num: '212962', den: '6', remainder: '4', cut: '4', tieRank: '8368074615072602139', rank: '14781098674355103338', unitMilliwattHours: '1', exact: true },
        },
      ],
      remarks: ['The rest, 0.153726 kWh, came from the grid.'], sum: '0.046274 kWh from the sun, as booked.', checked: true, withheld: false,
    },
  ],
})

const decoded = () => decodeWhy(wire()).pools[0]!
const round = (change: Partial<RoundShare>, certificate: Partial<RoundShare['certificate']> = {}): RoundShare => {
  const base = decoded().rounds[1]!
  return { ...base, ...change, certificate: { ...base.certificate!, ...certificate } }
}

it('reads an answer, and keeps what is too large for a number', () => {
  const why = decodeWhy(wire())
  expect([why.start, why.end, why.leaf, why.rules]).toEqual([1782579600000, 1782580500000, '743', 2])
  const [floor, everybody] = why.pools[0]!.rounds
  expect([floor!.cap, everybody!.cap]).toEqual([200000, null])
  expect(everybody!.certificate!.rank).toBe(14781098674355103338n)
  expect(() => decodeWhy({ pools: [{ rounds: [{ certificate: { num: 'much' } }] }] })).toThrow(/num/)
})

describe('the sums, done again', () => {
  it('fit what was booked, and notice a milliwatt-hour', () => {
    expect(recheck(decoded())).toBe('fits')
    const wrong = decoded()
    wrong.rounds[0]!.got++
    wrong.share++
    expect(recheck(wrong)).toBe('differs')
    const lost = decoded()
    lost.share--
    expect(recheck(lost)).toBe('differs')
  })
  it.each<[string, RoundShare, string]>([
    ['below the cut, the units alone', round({ need: 90000, got: 35493 }), 'fits'],
    ['below the cut, one too many', round({ need: 90000, got: 35494 }, { tieRank: 5n }), 'differs'],
    ['at the cut with a good number in the draw, one more', round({ need: 90000, got: 35494 }, { rank: 5n }), 'fits'],
    ['at the cut with the last good number, one more', round({ need: 90000, got: 35494 }, { rank: 5n, tieRank: 5n }), 'fits'],
    ['above the cut, one more', round({ need: 90000, got: 35494 }, { cut: 3n }), 'fits'],
    ['cut down, never one more', round({ need: 90000, got: 35493 }, { cut: 3n, floor: true }), 'fits'],
    ['in steps', round({ need: 90_000_000, got: 354_930_000 / 10 }, { unit: 1000 }), 'fits'],
    ['a need that fills no step', round({ need: 90_001, got: 35_000 }, { unit: 1000 }), 'cannot'],
    ['a weight', round({ method: 'weighted', weight: 2_000_000, need: 90_000, got: 70_987 }, { num: 212_962n, den: 6_000_000n, cut: 3_999_999n }), 'fits'],
    ['a part of the need', round({ method: 'proportional', need: 60, got: 30 }, { num: 1n, den: 2n }), 'fits'],
    ['enough for all', round({ got: 15000 }, { den: 0n, num: 1n }), 'fits'],
    ['enough for all, and less booked', round({ got: 14999 }, { den: 0n, num: 1n }), 'differs'],
    ['nothing to give', round({ got: 0 }, { num: 0n }), 'fits'],
    ['out of nothing', round({ got: 1 }, { num: 0n }), 'differs'],
    ['the first rules, a unit by the draw', round({ need: 90000, got: 35494 }, { exact: false }), 'fits'],
    ['the first rules, two units', round({ need: 90000, got: 35495 }, { exact: false }), 'differs'],
    ['the first rules, a unit where none was left', round({ need: 90000, got: 35494 }, { exact: false, remainder: 0 }), 'differs'],
    ['no certificate', { ...round({}), certificate: null }, 'cannot'],
  ])('%s', (_, one, want) => expect(recompute(one)).toBe(want))
})

describe('in words', () => {
  it('tells the story, and adds nothing to it', () => {
    expect(plain(story(decoded(), you))).toBe('You needed 0.215 kWh from outside. 0.046 kWh came from the neighbours’ sun, 0.015 kWh from the batteries and 0.154 kWh from the public grid.')
    const one = { ...decoded(), share: 0, fromStorage: 215000, gridImport: 0, supply: 2000 }
    expect(plain(story(one, dora))).toBe('Dora needed 0.215 kWh from outside. All of it came from the batteries. Dora fed in 0.002 kWh in the same time.')
    expect(plain(story({ ...one, demand: 0 }, you))).toBe('You needed nothing from outside. You fed in 0.002 kWh in the same time.')
    expect(plain(story({ ...one, fromStorage: 3, gridImport: 214997 }, you))).toContain('under 0.001 kWh came from the batteries and 0.215 kWh from the public grid')
  })
  it('tells of the market round', () => {
    const bought = wire().pools[0]!
    const market = { says: 'What is left is traded.', bidPrice: '18 ct/kWh EUR', bidMostMilliwattHours: '100000', neededMilliwattHours: '153726', boughtMilliwattHours: '100000', price: '15 ct/kWh EUR', arithmetic: 'The bid …' }
    const one = decodeWhy({ ...wire(), pools: [{ ...bought, gridImportMilliwattHours: '53726', market }] }).pools[0]!
    expect(plain(story(one, you))).toBe('You needed 0.215 kWh from outside. 0.046 kWh came from the neighbours’ sun, 0.015 kWh from the batteries, 0.100 kWh from neighbours who sold it in the market and 0.054 kWh from the public grid.')
    expect(marketFigures(one.market!).map(([name, value]) => `${name}: ${plain(value)}`)).toEqual([
      'Bid: 18 ct/kWh EUR, for 0.1 kWh at most', 'Still needed: 0.153726 kWh', 'Bought: 0.1 kWh',
      'Offer: none', 'Left to sell: 0 kWh', 'Sold: 0 kWh', 'Price for all who traded: 15 ct/kWh EUR',
    ])
    expect(recheck(one)).toBe('cannot')
    expect(recheck({ ...one, share: 1 })).toBe('differs')
    const seller = { ...one, demand: 0, supply: 400000, market: { ...one.market!, bought: 0, sold: 300000, price: '' } }
    expect(plain(story(seller, you))).toBe('You needed nothing from outside. You fed in 0.400 kWh in the same time, and sold 0.300 kWh of it in the market.')
    expect(marketFigures(seller.market).map(([name]) => name)).not.toContain('Price for all who traded')
    expect(decoded().market).toBeNull()
  })
  it('tells what a round did', () => {
    const [floor, everybody] = decoded().rounds
    expect(plain(happened(floor!, you))).toBe('When this round came to the sun, you needed at least 0.200 kWh, the most that this round gives to anybody, and got 0.046 kWh. There was not enough for everybody: all in the round needed 0.349 kWh, and 0.093 kWh was there.')
    expect(plain(happened(everybody!, dora))).toBe('When this round came to the batteries, Dora still needed 0.015 kWh, and got all of it.')
    expect(happened(round({ need: 0, got: 0 }), you)).toContain('needed nothing any more')
    expect(happened(round({ got: 0 }, { pool: 0 }), you)).toContain('nothing left to give')
  })
  it('gives the figures exactly', () => {
    const all = Object.fromEntries(figures(decoded().rounds[1]!).map(([name, value]) => [name, plain(value)]))
    expect(all['Level λ']).toBe('212962 ÷ 6, in millionths of a kWh: 0.035493 kWh for each')
    expect(all['Single units']).toContain('the division left 4, given to those whose remainder was above 4, and of those at 4')
    expect(all['The round had to give']).toBe('0.246662 kWh')
    expect(figures({ ...round({}), certificate: null }).map(([name]) => name)).toEqual(['Need when the round began', 'Weight', 'Cap for one member', 'Got'])
  })
  it('tells a key from a weight', () => {
    expect(countsWith(round({ method: 'weighted', weight: 1_500_000 }))).toBe('1.5')
    expect(countsWith(round({ method: 'rounds', weight: 400_000 }))).toBe('40%')
    expect(countsWith(round({ method: 'static', weight: 333_333 }, { part: 'roof' }))).toBe('33.3333%')
  })
  it('says what to do where there is no answer', () => {
    expect(whyNot(new Refusal('there is no member "ben" whose curves you may see', 404), false)).toContain('ask one of them')
    expect(whyNot(new Refusal('not found: member "ben" has no line in …', 404), true)).toContain('You have no line')
    expect(whyNot(new Refusal('not found: no settled interval is there yet', 404), true)).toContain('some minutes after its end')
    expect(whyNot(new Error('The coordinator does not answer'), true)).toBe('The coordinator does not answer')
  })
})
