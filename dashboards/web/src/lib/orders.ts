// SPDX-License-Identifier: AGPL-3.0-or-later

// What a member bids and offers in the market round: from the wire to the page,
// and what she writes back to the wire.
import { exactKilowattHours, text as printed } from './format'
import { field, integer, list, message, words } from './read'
import type * as wire from './wire.gen'

export type Side = 'bid' | 'offer'

export interface Order {
  /** As the coordinator writes it: 18 ct/kWh EUR. */
  price: string
  /** In milliwatt-hours in each interval; nought: all that is needed, or left. */
  most: number
}

export interface Standing {
  bid: Order | null
  offer: Order | null
}

export interface Orders extends Standing {
  member: string
  coming: (Standing & { from: number })[]
  lowest: string
  highest: string
  earliest: number
  interval: number
}

const order = (value: unknown, what: string): Order | null => {
  if (value === undefined || value === null) return null
  const m = message(value, what)
  return { price: words(m['price']), most: integer(m['mostMilliwattHours'], 'mostMilliwattHours') }
}

const standing = (m: Record<string, unknown>): Standing => ({ bid: order(m['bid'], 'bid'), offer: order(m['offer'], 'offer') })

export function decodeOrders(value: unknown): Orders {
  const m = message(value, 'orders')
  const n = field<wire.MemberOrders>()
  return {
    ...standing(m),
    member: words(m['memberId']),
    coming: list(m['coming'], 'coming', (item) => {
      const one = message(item, 'coming')
      return { from: field<wire.ComingOrders>()(one, 'fromUnixMs'), ...standing(one) }
    }),
    lowest: words(m['lowestPrice']),
    highest: words(m['highestPrice']),
    earliest: n(m, 'earliestUnixMs'),
    interval: n(m, 'intervalMs'),
  }
}

/** Where a member's orders are asked for, and set. */
export const path = (member: string, side?: Side): string => `/v1/orders/${encodeURIComponent(member)}${side ? `/${side}` : ''}`

/** What changes of one side later: what is entered for the other is no news of it. */
export function later(o: Orders, side: Side): { from: number; order: Order | null }[] {
  const same = (a: Order | null, b: Order | null) => a?.price === b?.price && a?.most === b?.most
  return o.coming.map((c, i) => ({ from: c.from, order: c[side], before: (i > 0 ? o.coming[i - 1]! : o)[side] })).filter((c) => !same(c.order, c.before))
}

/** The unit of a price: "ct/kWh EUR" of "18 ct/kWh EUR". */
export const unit = (price: string): string => price.slice(price.indexOf(' ') + 1)

/** The figure of a price: "18" of "18 ct/kWh EUR". */
export const figure = (price: string): string => price.slice(0, Math.max(0, price.indexOf(' ')))

/** What is sent for a price and an amount as people write them, with a comma or a point. */
export function written(price: string, most: string, priceUnit: string): { price: string; mostMilliwattHours: string } {
  return { price: `${price.trim().replace(',', '.')} ${priceUnit}`, mostMilliwattHours: milliwattHours(most) }
}

function milliwattHours(kilowattHours: string): string {
  const amount = kilowattHours.trim().replace(',', '.')
  if (amount === '') return '0'
  const [, whole, fraction] = /^(\d{1,9})(?:\.(\d{1,6}))?$/.exec(amount) ?? []
  const n = whole === undefined ? 0 : Number(whole) * 1_000_000 + Number((fraction ?? '').padEnd(6, '0'))
  if (n === 0) throw new Error(`“${kilowattHours}” is no amount: write kilowatt-hours such as 0.5, or leave the field empty`)
  return String(n)
}

/** An amount as people write it in the field; empty: all. */
export const amount = (o: Order | null): string => (o === null || o.most === 0 ? '' : exactKilowattHours(o.most).value.replaceAll(',', ''))

/** An order in words, behind "You bid" or "You offer". */
export function says(side: Side, o: Order | null): string {
  if (o === null) return side === 'bid' ? 'You bid for nothing.' : 'You offer nothing.'
  const much = o.most === 0 ? (side === 'bid' ? 'all that you still need' : 'all that you have left') : `at most ${printed(exactKilowattHours(o.most))} in each interval`
  return side === 'bid' ? `You bid up to ${o.price} for ${much}.` : `You offer ${much} for ${o.price} or more.`
}
