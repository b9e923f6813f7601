// SPDX-License-Identifier: AGPL-3.0-or-later

// The market round as one member was in it: from the wire to sentences, and the
// sum of her trade done again.
import { exactKilowattHours, kilowattHours, text as printed } from './format'
import { counter, field, message, truth, words } from './read'
import type { Somebody, Verdict } from './why'
import type * as wire from './wire.gen'

/** One side's end: whose limit is better traded all, whose is worse nothing, who stands at it num/den. */
export interface Margin {
  limit: string
  num: bigint
  den: bigint
  cut: bigint
  tieRank: bigint
}

export interface Order {
  price: string
  /** At most so much; 0: all. */
  most: number
}

export interface MarketShare {
  says: string
  bid: Order | null
  offer: Order | null
  needed: number
  left: number
  bought: number
  sold: number
  price: string
  arithmetic: string
  rank: bigint
  atMargin: boolean
  certificate: { volume: number; unit: number; bids: Margin | null; offers: Margin | null } | null
}

export function decodeMarket(value: unknown): MarketShare {
  const m = message(value, 'market')
  const n = field<wire.MarketShare>()
  const order = (price: string, most: number): Order | null => (price ? { price, most } : null)
  return {
    says: words(m['says']),
    bid: order(words(m['bidPrice']), n(m, 'bidMostMilliwattHours')),
    offer: order(words(m['offerPrice']), n(m, 'offerMostMilliwattHours')),
    needed: n(m, 'neededMilliwattHours'),
    left: n(m, 'leftMilliwattHours'),
    bought: n(m, 'boughtMilliwattHours'),
    sold: n(m, 'soldMilliwattHours'),
    price: words(m['price']),
    arithmetic: words(m['arithmetic']),
    rank: BigInt(counter(m['rank'], 'rank')),
    atMargin: truth(m['atMargin']),
    certificate: m['certificate'] ? decodeCertificate(m['certificate']) : null,
  }
}

function decodeCertificate(value: unknown): MarketShare['certificate'] {
  const m = message(value, 'market certificate')
  const n = field<wire.MarketCertificate>()
  const margin = (side: unknown): Margin | null => {
    if (!side) return null
    const one = message(side, 'margin')
    const big = (name: keyof wire.MarketMargin & string) => BigInt(counter(one[name], name))
    return { limit: words(one['limit']), num: big('num'), den: big('den'), cut: big('cut'), tieRank: big('tieRank') }
  }
  return { volume: n(m, 'volumeMilliwattHours'), unit: n(m, 'unitMilliwattHours') || 1, bids: margin(m['bids']), offers: margin(m['offers']) }
}

/** What an order came to, worked out anew: all of it, nothing, or its part at the margin. */
function traded(m: MarketShare, order: Order | null, of: number, got: number, margin: Margin | null): Verdict {
  if (!order || !margin) return got === 0 ? 'fits' : 'differs'
  const asked = BigInt(order.most > 0 ? Math.min(order.most, of) : of)
  const unit = BigInt(m.certificate?.unit ?? 1)
  if (asked % unit !== 0n) return 'cannot'
  // Which side of the margin a limit is on is a matter of prices, which the coordinator compares.
  if (!m.atMargin) return got === 0 || BigInt(got) === asked ? 'fits' : 'differs'
  if (margin.limit !== order.price) return 'cannot'
  if (margin.den === 0n) return BigInt(got) === asked ? 'fits' : 'differs'
  const product = margin.num * (asked / unit)
  const rest = product % margin.den
  const more = rest > margin.cut || (rest === margin.cut && rest > 0n && m.rank <= margin.tieRank)
  return BigInt(got) === (product / margin.den + (more ? 1n : 0n)) * unit ? 'fits' : 'differs'
}

export function recomputeMarket(m: MarketShare): Verdict {
  if (!m.certificate) return 'cannot'
  const both = [traded(m, m.bid, m.needed, m.bought, m.certificate.bids), traded(m, m.offer, m.left, m.sold, m.certificate.offers)]
  return both.includes('differs') ? 'differs' : both.includes('cannot') ? 'cannot' : 'fits'
}

const kwh = (milliwattHours: number): string => printed(kilowattHours(milliwattHours, 3))
const exactly = (milliwattHours: number): string => printed(exactKilowattHours(milliwattHours))

/** What happened to her in the market round. */
export function marketStory(m: MarketShare, who: Somebody): string {
  const name = who.self ? 'You' : who.name
  const did = [m.bought > 0 ? `bought ${kwh(m.bought)}` : '', m.sold > 0 ? `sold ${kwh(m.sold)}` : ''].filter(Boolean)
  if (did.length > 0) return `${name} ${did.join(' and ')} at ${m.price}, which was the price for all who traded.`
  const had = [m.bid ? `a bid of ${m.bid.price}` : '', m.offer ? `an offer of ${m.offer.price}` : ''].filter(Boolean)
  if (had.length === 0) return `${name} had neither a bid nor an offer standing, and so traded nothing.`
  return `${name} had ${had.join(' and ')}, and traded nothing${m.price ? `; others traded at ${m.price}` : ''}.`
}

export function marketFigures(m: MarketShare): [string, string][] {
  const order = (o: Order | null) => (o ? o.price + (o.most > 0 ? `, for ${exactly(o.most)} at most` : '') : 'none')
  const end = (margin: Margin | null) => {
    if (!margin) return 'nothing was traded'
    const part = margin.den === 0n ? 'who stood there was served in full' : `who stood there got ${margin.num} ÷ ${margin.den} of what they asked for`
    return `${margin.limit}; ${part}`
  }
  const own: [string, string][] = [
    ['Bid', order(m.bid)],
    ['Still needed', exactly(m.needed)],
    ['Bought', exactly(m.bought)],
    ['Offer', order(m.offer)],
    ['Left to sell', exactly(m.left)],
    ['Sold', exactly(m.sold)],
  ]
  if (m.price) own.push(['Price for all who traded', m.price])
  if (!m.certificate) return own
  return [...own, ['All traded', exactly(m.certificate.volume)], ['The last bid that was served', end(m.certificate.bids)], ['The last offer that was served', end(m.certificate.offers)]]
}
