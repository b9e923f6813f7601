// SPDX-License-Identifier: AGPL-3.0-or-later

// What the ledger booked for one member, from the wire to the page: whole
// milliwatt-hours, oldest first.
import { field, list, message } from './read'
import type * as wire from './wire.gen'

export interface Booked {
  start: number
  end: number
  share: number
  fromStorage: number
  consumption: number
}

export const spans = {
  day: { word: '24 hours', by: 'BOOKED_BY_INTERVAL', length: 86_400_000 },
  month: { word: '31 days', by: 'BOOKED_BY_DAY', length: 31 * 86_400_000 },
  year: { word: '12 months', by: 'BOOKED_BY_MONTH', length: 366 * 86_400_000 },
} as const
export type Span = keyof typeof spans

export function decodeBooked(value: unknown): Booked[] {
  const energies = list(message(value, 'booked')['energies'], 'energies', (item) => {
    const m = message(item, 'energy')
    const n = field<wire.BookedEnergy>()
    return {
      start: n(m, 'startUnixMs'),
      end: n(m, 'endUnixMs'),
      share: n(m, 'shareMilliwattHours'),
      fromStorage: n(m, 'fromStorageMilliwattHours'),
      consumption: n(m, 'consumptionMilliwattHours'),
    }
  })
  return energies.sort((a, b) => a.start - b.start)
}

const asked = (member: string, from: number, until: number, by: string): string =>
  `/v1/history/members/${encodeURIComponent(member)}/booked?fromUnixMs=${from}&toUnixMs=${until}&by=${by}`

/** The question, for what ends at an instant. */
export function question(member: string, span: Span, now: number): string {
  const { by, length } = spans[span]
  return asked(member, now - length, now + 1, by)
}

/** The question for the single intervals of a day, from its first instant to the next day's. */
export const dayQuestion = (member: string, from: number, until: number): string => asked(member, from, until, spans.day.by)

export const total = (all: Booked[], of: 'share' | 'fromStorage' | 'consumption'): number => all.reduce((sum, one) => sum + one[of], 0)
