// SPDX-License-Identifier: AGPL-3.0-or-later

// What another charter would change: the questions, and the answers from the
// wire to the page.
import { field, integer, list, message, truth, words } from './read'
import type * as wire from './wire.gen'

export interface Totals {
  demand: number
  received: number
  given: number
  gridImport: number
  gridExport: number
  /** What is paid less what is paid out, in hundredths of the currency. */
  cost: number
  /** In the market round. */
  bought: number
  sold: number
}

/** One thing that somebody pays, or is paid for. */
export interface Line {
  kind: string
  rule: string
  level: string
  energy: number
  price: string
  amount: number
}

export interface Change {
  member: string
  before: Totals
  after: Totals
  beforeLines: Line[]
  afterLines: Line[]
}

/** How the change of what members receive is distributed. */
export interface Spread {
  gain: number
  lose: number
  same: number
  quarter: number
  half: number
  threeQuarters: number
  least: number | null
  greatest: number | null
}

export interface Result {
  intervals: number
  leftOut: number
  currency: string
  members: Change[]
  count: number
  before: Totals | null
  after: Totals | null
  spread: Spread | null
  conserved: boolean
  dataHash: string
  resultHash: string
  withheld: string[]
  /** In how many intervals somebody's order was recorded; null where no charter has a market round. */
  ordered: number | null
  /** Weighting periods of whose period before nothing is recorded, under the old and the new charter. */
  withoutPast: [number, number]
}

const states = {
  WHAT_IF_STATE_WAITING: 'waiting',
  WHAT_IF_STATE_RUNNING: 'running',
  WHAT_IF_STATE_DONE: 'done',
  WHAT_IF_STATE_FAILED: 'failed',
  WHAT_IF_STATE_CANCELLED: 'cancelled',
} as const
export type State = (typeof states)[keyof typeof states]

export interface Trial {
  id: string
  state: State
  started: number
  kept: number
  charter: string
  hash: string
  against: string
  againstHash: string
  from: number
  until: number
  done: number
  total: number
  error: string
  result: Result | null
  mine: boolean
}

export const over = (state: State): boolean => state !== 'waiting' && state !== 'running'

export function decodeTrial(value: unknown): Trial {
  const m = message(value, 'what-if')
  const n = field<wire.WhatIf>()
  const state = states[words(m['state']) as keyof typeof states]
  return {
    id: words(m['id']),
    state: state ?? 'waiting',
    started: n(m, 'startedUnixMs'),
    kept: n(m, 'keptUntilUnixMs'),
    charter: words(m['charterName']),
    hash: words(m['charterHash']),
    against: words(m['againstName']),
    againstHash: words(m['againstHash']),
    from: n(m, 'fromUnixMs'),
    until: n(m, 'toUnixMs'),
    done: n(m, 'doneIntervals'),
    total: n(m, 'totalIntervals'),
    error: words(m['error']),
    result: m['result'] ? decodeResult(m['result']) : null,
    mine: truth(m['mine']),
  }
}

export const decodeTrials = (value: unknown): Trial[] => list(message(value, 'what-ifs')['whatIfs'], 'whatIfs', decodeTrial)

function decodeResult(value: unknown): Result {
  const m = message(value, 'result')
  const n = field<wire.WhatIfResult>()
  return {
    intervals: n(m, 'intervals'),
    leftOut: n(m, 'leftOut'),
    currency: words(m['currency']),
    members: list(m['members'], 'members', (item) => {
      const one = message(item, 'change')
      return {
        member: words(one['memberId']),
        before: decodeTotals(one['before'] ?? {}),
        after: decodeTotals(one['after'] ?? {}),
        beforeLines: list(one['beforeLines'], 'beforeLines', decodeLine),
        afterLines: list(one['afterLines'], 'afterLines', decodeLine),
      }
    }),
    count: n(m, 'memberCount'),
    before: m['before'] ? decodeTotals(m['before']) : null,
    after: m['after'] ? decodeTotals(m['after']) : null,
    spread: m['spread'] ? decodeSpread(m['spread']) : null,
    conserved: truth(m['conserved']),
    dataHash: words(m['dataHash']),
    resultHash: words(m['resultHash']),
    withheld: list(m['withheld'], 'withheld', words),
    ordered: m['orderedIntervals'] === undefined || m['orderedIntervals'] === null ? null : n(m, 'orderedIntervals'),
    withoutPast: [n(m, 'beforeWithoutPast'), n(m, 'afterWithoutPast')],
  }
}

function decodeLine(value: unknown): Line {
  const m = message(value, 'line')
  const n = field<wire.WhatIfLine>()
  return { kind: words(m['kind']), rule: words(m['rule']), level: words(m['level']), energy: n(m, 'energyMilliwattHours'), price: words(m['price']), amount: n(m, 'amountMinor') }
}

function decodeTotals(value: unknown): Totals {
  const m = message(value, 'totals')
  const n = field<wire.WhatIfTotals>()
  return {
    demand: n(m, 'demandMilliwattHours'),
    received: n(m, 'receivedMilliwattHours'),
    given: n(m, 'givenMilliwattHours'),
    gridImport: n(m, 'gridImportMilliwattHours'),
    gridExport: n(m, 'gridExportMilliwattHours'),
    cost: n(m, 'costMinor'),
    bought: n(m, 'boughtMilliwattHours'),
    sold: n(m, 'soldMilliwattHours'),
  }
}

function decodeSpread(value: unknown): Spread {
  const m = message(value, 'spread')
  const n = field<wire.WhatIfSpread>()
  const known = (name: keyof wire.WhatIfSpread & string) => (m[name] === undefined || m[name] === null ? null : integer(m[name], name))
  return {
    gain: n(m, 'gain'),
    lose: n(m, 'lose'),
    same: n(m, 'same'),
    quarter: n(m, 'quarterMilliwattHours'),
    half: n(m, 'halfMilliwattHours'),
    threeQuarters: n(m, 'threeQuartersMilliwattHours'),
    least: known('leastMilliwattHours'),
    greatest: known('greatestMilliwattHours'),
  }
}

/** A charter that comes with the program. */
export interface Template {
  name: string
  title: string
  /** Of the law that it is written for; empty: of none. */
  country: string
}

export const templateList = '/charters/index.json'
export const templateText = (name: string): string => `/charters/${encodeURIComponent(name)}.yaml`

export const decodeTemplates = (value: unknown): Template[] =>
  list(value, 'templates', (item) => {
    const one = message(item, 'template')
    return { name: words(one['name']), title: words(one['title']) || words(one['name']), country: words(one['country']) }
  })

/** What is wrong with a charter, at a place of its text. */
export interface Problem {
  /** Counted from 1; null where it belongs to no line. */
  line: number | null
  field: string
  text: string
}

/** What the form calls the fields of the question. */
const labels: Record<string, string> = { retail_price: 'A kWh from the grid costs', feed_in_price: 'The grid pays for a kWh' }

/** The coordinator names each problem in a line of its own, with its place in the charter first. */
export function problems(said: string): Problem[] {
  return said
    .split('\n')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const found = /\bline (\d+)(?:, ([\w.[\]-]+))?: (.*)$/.exec(part)
      if (!found) return { line: null, field: '', text: sentence(part.replace(/^.*this cannot be compared: /, '').replace(/^\w+(?=:)/, (name) => labels[name] ?? name)) }
      return { line: Number(found[1]), field: found[2] ?? '', text: sentence(found[3]!) }
    })
}

/** As a sentence: what a program says begins small and has no end. */
export const sentence = (text: string): string => {
  const trimmed = text.trim()
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1)
  return /[.!?]$/.test(begun) ? begun : `${begun}.`
}

/** The first letter and the one after the last of a line, counted from 1. */
export function lineOf(text: string, line: number): [number, number] {
  const lines = text.split('\n')
  const at = Math.min(Math.max(line, 1), lines.length) - 1
  const start = lines.slice(0, at).reduce((sum, one) => sum + one.length + 1, 0)
  return [start, start + lines[at]!.length]
}

/** In the order of the change of what they receive, who gains most first. */
export const byGain = (all: Change[]): Change[] =>
  [...all].sort((a, b) => received(b) - received(a) || (a.member < b.member ? -1 : 1))

const kinds: Record<string, string> = {
  received: 'Received from the others',
  given: 'Given to the others',
  bought: 'Bought in the market round',
  sold: 'Sold in the market round',
  network: 'Charge for the grid in between',
  solidarity: 'Into the solidarity fund',
  wear: 'For the wear of batteries',
  wear_owner: 'For the wear of the own battery',
  membership: 'Membership',
  grid_import: 'From the public grid',
  grid_export: 'To the public grid',
  rounding: 'Rounding of the lines',
}

/** A line of both sides: what it is for, and what it comes to under each charter; null where that has no such line. */
export interface Pair {
  word: string
  before: Line | null
  after: Line | null
}

/** The lines of both sides side by side. One charter may say by another rule what the other says: those stand apart. */
export function pairs(c: Change): Pair[] {
  const all = new Map<string, Pair>()
  const put = (side: 'before' | 'after', lines: Line[]) => {
    for (const line of lines) {
      const word = (kinds[line.kind] ?? line.kind.replaceAll('_', ' ')) + (line.level ? `, ${line.level.replaceAll('_', ' ')}` : '')
      // More than one line of a kind keep their order.
      let key = word
      while (all.get(key)?.[side]) key += ' '
      const pair = all.get(key) ?? { word, before: null, after: null }
      pair[side] = line
      all.set(key, pair)
    }
  }
  put('before', c.beforeLines)
  put('after', c.afterLines)
  return [...all.values()]
}

/** How much more is received. */
export const received = (c: Change): number => c.after.received - c.before.received
/** How much more is paid, in hundredths. */
export const paid = (c: Change): number => c.after.cost - c.before.cost
