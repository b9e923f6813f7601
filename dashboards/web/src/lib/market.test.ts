// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { decodeMarket, marketFigures, marketStory, recomputeMarket, type MarketShare } from './market'

/** As the coordinator answered for one who sold at the margin. */
const wire = {
  says: 'What is left is traded.', bidPrice: '', bidMostMilliwattHours: '0', offerPrice: '9 ct/kWh EUR', offerMostMilliwattHours: '0', neededMilliwattHours: '0', leftMilliwattHours: '463647',
  boughtMilliwattHours: '0', soldMilliwattHours: '20243', price: '9 ct/kWh EUR', arithmetic: '…', rank: '973001112854723121', atMargin: true,
  certificate: {
    price: '9 ct/kWh EUR', volumeMilliwattHours: '153600', unitMilliwattHours: '1',
    bids: { limit: '18 ct/kWh EUR', tradedMilliwattHours: '153600', num: '1', den: '0', cut: '0', tieRank: '0' },
    offers: { limit: '9 ct/kWh EUR', tradedMilliwattHours: '153600', num: '153600', den: '3518135', cut: '2090530', tieRank: '18446744073709551615' },
  },
}
const market = (change: Partial<MarketShare> = {}): MarketShare => ({ ...decodeMarket(wire), ...change })
const gero = { name: 'Gero', self: false }
const plain = (text: string) => text.replaceAll('\u00a0', ' ')

describe('a trade, worked out again', () => {
  it.each<[string, MarketShare, string]>([
    ['at the margin', market(), 'fits'],
    ['a unit too many', market({ sold: 20244 }), 'differs'],
    ['a unit that the draw gave to another one', market({ certificate: { ...market().certificate!, offers: { ...market().certificate!.offers!, tieRank: 5n } } }), 'differs'],
    ['above the cut, without a look at the draw', market({ certificate: { ...market().certificate!, offers: { ...market().certificate!.offers!, cut: 2090529n, tieRank: 0n } } }), 'fits'],
    ['beyond the margin, all', market({ atMargin: false, sold: 463647 }), 'fits'],
    ['beyond the margin, half', market({ atMargin: false, sold: 231823 }), 'differs'],
    ['no more than was offered', market({ atMargin: false, offer: { price: '7 ct/kWh EUR', most: 1000 }, sold: 1000 }), 'fits'],
    ['without an order', market({ offer: null }), 'differs'],
    ['without a certificate', market({ certificate: null }), 'cannot'],
  ])('%s', (_, one, want) => expect(recomputeMarket(one)).toBe(want))
})

it('tells what was traded, or why nothing', () => {
  expect(plain(marketStory(market(), gero))).toBe('Gero sold 0.020 kWh at 9 ct/kWh EUR, which was the price for all who traded.')
  expect(marketStory(market({ sold: 0 }), { name: 'Gero', self: true })).toBe('You had an offer of 9 ct/kWh EUR, and traded nothing; others traded at 9 ct/kWh EUR.')
  expect(marketStory(market({ sold: 0, offer: null, price: '' }), gero)).toContain('neither a bid nor an offer')
})

it('gives the figures, and fewer where the certificate is withheld', () => {
  const all = Object.fromEntries(marketFigures(market()).map(([name, value]) => [name, plain(value)]))
  expect(all['Offer']).toBe('9 ct/kWh EUR')
  expect(all['Sold']).toBe('0.020243 kWh')
  expect(all['The last offer that was served']).toBe('9 ct/kWh EUR; who stood there got 153600 ÷ 3518135 of what they asked for')
  expect(marketFigures(market({ certificate: null })).some(([name]) => name === 'All traded')).toBe(false)
})
