// SPDX-License-Identifier: AGPL-3.0-or-later

// Why a member got what she got in an interval: from the wire to sentences. The
// page also does the sums again, so that nobody has to believe the coordinator
// that they are right.
import { Refusal, words as wordsOf } from './api'
import { exactKilowattHours, kilowattHours, text as printed } from './format'
import { decodeMarket, recomputeMarket, type MarketShare } from './market'
import { counter, field, integer, list, message, quality, truth, words } from './read'
import type * as wire from './wire.gen'

/** A round as the ledger holds it. The level's two numbers may pass what a page's numbers hold. */
export interface Certificate {
  pool: number
  demand: number
  shared: number
  num: bigint
  den: bigint
  remainder: number
  cut: bigint
  tieRank: bigint
  rank: bigint
  unit: number
  floor: boolean
  tier: number
  pass: number
  part: string
  exact: boolean
}

export interface RoundShare {
  round: string
  source: string
  method: string
  says: string
  need: number
  /** In millionths. */
  weight: number
  cap: number | null
  got: number
  arithmetic: string
  certificate: Certificate | null
}

export interface PoolShare {
  pool: string
  demand: number
  supply: number
  share: number
  fromStorage: number
  gridImport: number
  rounds: RoundShare[]
  remarks: string[]
  sum: string
  checked: boolean
  withheld: boolean
  /** The market round; null where the charter has none. */
  market: MarketShare | null
}

export interface Why {
  member: string
  start: number
  end: number
  leaf: string
  revision: number
  complete: boolean
  quality: wire.Quality
  charter: string
  hash: string
  rules: number
  pools: PoolShare[]
}

/** The question; an instant of nought is the newest interval that is settled. */
export const question = (member: string, at: number): string => `/v1/shares/${encodeURIComponent(member)}/why?at_unix_ms=${at}`

export function decodeWhy(value: unknown): Why {
  const m = message(value, 'why')
  const n = field<wire.WhyShareResponse>()
  const start = n(m, 'startUnixMs')
  return {
    member: words(m['memberId']),
    start,
    end: start + n(m, 'lengthMs'),
    leaf: counter(m['leafIndex'], 'leafIndex'),
    revision: n(m, 'revision'),
    complete: truth(m['complete']),
    quality: quality(m['quality']),
    charter: words(m['charterName']),
    hash: words(m['charterHash']),
    rules: n(m, 'rulesVersion'),
    pools: list(m['pools'], 'pools', decodePool),
  }
}

function decodePool(value: unknown): PoolShare {
  const m = message(value, 'pool')
  const n = field<wire.PoolShare>()
  return {
    pool: words(m['poolId']),
    demand: n(m, 'demandMilliwattHours'),
    supply: n(m, 'supplyMilliwattHours'),
    share: n(m, 'shareMilliwattHours'),
    fromStorage: n(m, 'fromStorageMilliwattHours'),
    gridImport: n(m, 'gridImportMilliwattHours'),
    rounds: list(m['rounds'], 'rounds', decodeRound),
    remarks: list(m['remarks'], 'remarks', words),
    sum: words(m['sum']),
    checked: truth(m['checked']),
    withheld: truth(m['withheld']),
    market: m['market'] ? decodeMarket(m['market']) : null,
  }
}

function decodeRound(value: unknown): RoundShare {
  const m = message(value, 'round')
  const n = field<wire.RoundShare>()
  const most = m['capMilliwattHours']
  return {
    round: words(m['round']),
    source: words(m['source']),
    method: words(m['method']),
    says: words(m['says']),
    need: n(m, 'needMilliwattHours'),
    weight: n(m, 'weightMillionths'),
    cap: most === undefined || most === null ? null : integer(most, 'capMilliwattHours'),
    got: n(m, 'gotMilliwattHours'),
    arithmetic: words(m['arithmetic']),
    certificate: m['certificate'] ? decodeCertificate(m['certificate']) : null,
  }
}

function decodeCertificate(value: unknown): Certificate {
  const m = message(value, 'certificate')
  const n = field<wire.RoundCertificate>()
  const big = (name: keyof wire.RoundCertificate & string) => BigInt(counter(m[name], name))
  return {
    pool: n(m, 'poolMilliwattHours'),
    demand: n(m, 'demandMilliwattHours'),
    shared: n(m, 'sharedMilliwattHours'),
    num: big('num'),
    den: big('den'),
    remainder: n(m, 'remainder'),
    cut: big('cut'),
    tieRank: big('tieRank'),
    rank: big('rank'),
    unit: n(m, 'unitMilliwattHours') || 1,
    floor: truth(m['floor']),
    tier: n(m, 'tier'),
    pass: n(m, 'pass'),
    part: words(m['part']),
    exact: truth(m['exact']),
  }
}

/** A weight in millionths as a decimal: "1.5". */
export const weightWords = (millionths: number): string => (millionths / 1e6).toFixed(6).replace(/\.?0+$/, '')

/** What a member counts with in a round. */
export function countsWith(r: RoundShare): string {
  if (r.method === 'equal') return 'everybody counts the same'
  if (r.method === 'proportional') return 'everybody counts with what they need'
  const weight = weightWords(r.weight)
  // A key is a part of a whole, and never more than all of it.
  return r.method === 'rounds' || r.method === 'pairs' || r.certificate?.part ? `${weightWords(r.weight * 100)}%` : weight
}

export type Verdict = 'fits' | 'differs' | 'cannot'

/**
 * What a round must have given by its certificate, worked out anew:
 * min(need, weight · num / den), cut to the unit, and a unit more by the cut.
 */
export function recompute(r: RoundShare): Verdict {
  const c = r.certificate
  if (!c) return 'cannot'
  const [need, got] = [BigInt(r.need), BigInt(r.got)]
  const verdict = (fits: boolean): Verdict => (fits ? 'fits' : 'differs')
  if (r.need === 0 || c.num === 0n) return verdict(r.got === 0)
  const weight = r.method === 'equal' ? 1n : r.method === 'proportional' ? need / BigInt(c.unit) : BigInt(r.weight)
  if (weight === 0n) return verdict(r.got === 0)
  const unit = BigInt(c.unit)
  if (need % unit !== 0n) return 'cannot' // whether the need is cut as well depends on the kind of key
  if (c.den === 0n) return verdict(c.exact && got === need)
  const [units, rest] = [(c.num * weight) / c.den, (c.num * weight) % c.den]
  const low = units * unit
  const least = low < need ? low : need
  const most = low + unit < need ? low + unit : need
  // The first edition of the rules says how many units were left, and not who got them.
  if (!c.exact) return verdict(got >= least && got <= most && (c.remainder > 0 || got === least))
  const more = !c.floor && (rest > c.cut || (rest === c.cut && c.rank <= c.tieRank))
  return verdict(got === (more ? most : least))
}

/** The rounds, and what they come to, against what is booked. */
export function recheck(p: PoolShare): Verdict {
  const sum = (source: string) => p.rounds.filter((r) => r.source === source).reduce((total, r) => total + r.got, 0)
  const all = [...p.rounds.map(recompute), ...(p.market ? [recomputeMarket(p.market)] : [])]
  if (sum('sun') !== p.share || sum('storage') !== p.fromStorage || all.includes('differs')) return 'differs'
  return all.includes('cannot') ? 'cannot' : 'fits'
}

/** To the watt-hour, for sentences; a little is not told as nothing. */
const kwh = (milliwattHours: number): string => (milliwattHours > 0 && milliwattHours < 500 ? `under ${kwh(1000)}` : printed(kilowattHours(milliwattHours, 3)))
const exactly = (milliwattHours: number): string => printed(exactKilowattHours(milliwattHours))

/** Who is spoken of: "You", or a name. */
export interface Somebody {
  name: string
  self: boolean
}
const begin = (who: Somebody): string => (who.self ? 'You' : who.name)

/** What came of the interval, in a sentence or two. */
export function story(p: PoolShare, who: Somebody): string {
  const sold = p.market && p.market.sold > 0 ? `, and sold ${kwh(p.market.sold)} of it in the market` : ''
  const gave = p.supply > 0 ? ` ${begin(who)} fed in ${kwh(p.supply)} in the same time${sold}.` : ''
  if (p.demand === 0) return `${begin(who)} needed nothing from outside.${gave}`
  const first = `${begin(who)} needed ${kwh(p.demand)} from outside.`
  const parts = ([[p.share, 'the neighbours’ sun'], [p.fromStorage, 'the batteries'], [p.market?.bought ?? 0, 'neighbours who sold it in the market'], [p.gridImport, 'the public grid']] as const).filter(([energy]) => energy > 0)
  if (parts.length === 0) return first + gave
  if (parts.length === 1) return `${first} All of it came from ${parts[0]![1]}.${gave}`
  const told = parts.map(([energy, from], i) => `${kwh(energy)} ${i === 0 ? 'came ' : ''}from ${from}`)
  return `${first} ${told.slice(0, -1).join(', ')} and ${told.at(-1)}.${gave}`
}

/** What happened to her in a round, in a sentence or two. */
export function happened(r: RoundShare, who: Somebody): string {
  const from = r.source === 'storage' ? 'the batteries' : 'the sun'
  const c = r.certificate
  if (r.need === 0) return `${begin(who)} needed nothing any more when this round came to ${from}, so it gave nothing.`
  const capped = r.cap !== null && r.need === r.cap
  const need = capped ? `needed at least ${kwh(r.need)}, the most that this round gives to anybody` : `still needed ${kwh(r.need)}`
  const needed = `When this round came to ${from}, ${who.self ? 'you' : who.name} ${need}`
  if (c && c.pool === 0) return `${needed}. There was nothing left to give.`
  if (r.got === r.need) return `${needed}, and got all of it.`
  if (c && c.shared > 0 && c.pool <= c.shared && c.demand > c.shared) {
    return `${needed}, and got ${kwh(r.got)}. There was not enough for everybody: all in the round needed ${kwh(c.demand)}, and ${kwh(c.pool)} was there.`
  }
  return `${needed}, and got ${kwh(r.got)}.`
}

/** A round's figures, each with its name, exact to the milliwatt-hour. */
export function figures(r: RoundShare): [string, string][] {
  const c = r.certificate
  const own: [string, string][] = [
    ['Need when the round began', exactly(r.need)],
    ['Weight', countsWith(r)],
    ['Cap for one member', r.cap === null ? 'none in this round' : exactly(r.cap)],
  ]
  if (!c) return [...own, ['Got', exactly(r.got)]]
  return [
    ...own,
    ['The round had to give', exactly(c.pool) + (c.part ? `, from “${c.part}”` : '')],
    ['All in it needed', exactly(c.demand)],
    ['It gave in all', exactly(c.shared)],
    ['Level λ', level(r, c)],
    ['Single units', cutOff(r, c)],
    ['Got', exactly(r.got)],
  ]
}

const steps = (c: Certificate): string => (c.unit === 1 ? 'millionths of a kWh' : `steps of ${exactly(c.unit)}`)

function level(r: RoundShare, c: Certificate): string {
  if (c.num === 0n) return 'none: there was nothing to give'
  if (c.den === 0n) return 'none needed: there was enough for everybody'
  const each = r.method === 'equal' ? `: ${exactly(Number((c.num / c.den) * BigInt(c.unit)))} for each` : ''
  return `${c.num} ÷ ${c.den}, in ${steps(c)}${each}`
}

/** Who got the units that the division left, in words. */
function cutOff(r: RoundShare, c: Certificate): string {
  if (c.num === 0n || c.den === 0n) return 'no division, so none were left'
  if (c.floor) return 'shares are cut down to whole units; what that leaves nobody gets'
  if (c.remainder === 0) return 'the division left none'
  const left = c.remainder === 1 ? 'the division left 1' : `the division left ${c.remainder}`
  if (!c.exact) return `${left}; a draw among those in the round gave each to another one`
  const tie = c.tieRank > 0n ? `, and of those at ${c.cut} to the ones whose number in the draw was at most ${c.tieRank}` : ''
  return `${left}, given to those whose remainder was above ${c.cut}${tie}${r.need > 0 ? ` (number in the draw here: ${c.rank})` : ''}`
}

/** Why there is no answer, and what to do. */
export function whyNot(fault: unknown, self: boolean): string {
  if (!(fault instanceof Refusal) || fault.status !== 404) return wordsOf(fault)
  if (fault.message.includes('curves')) {
    return 'This share is not yours to see. The member it belongs to sees it, and so does the treasurer, who answers for the books: ask one of them. “Who may what” lists it all.'
  }
  if (fault.message.includes('no line')) {
    return self
      ? 'You have no line in this interval: you took no part then, or your data of that time are erased. Pick another one.'
      : 'This member has no line in the interval: there was no part in it then, or the data are erased. Pick another one.'
  }
  return 'Nothing is settled for this time yet: an interval is settled some minutes after its end. Pick a day and an interval from the lists, or come back later.'
}
