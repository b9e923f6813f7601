// SPDX-License-Identifier: AGPL-3.0-or-later

// Figures as people read them. Powers come in milliwatts, energies in
// milliwatt-hours; what cannot be known is null and is shown as a dash.

/** A printed quantity: the figure, and the unit that is set smaller behind it. */
export interface Figure {
  value: string
  unit: string
}

const locale = 'en-GB'
const plain = [0, 1, 2, 3].map(
  (digits) => new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }),
)
const exact = new Intl.NumberFormat(locale, { maximumFractionDigits: 6 })
const counts = new Intl.NumberFormat(locale)
const percents = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 })

export const unknown: Figure = { value: '–', unit: '' }

/** Rounds to the digits, writes a true minus, and never a negative nought. */
function decimal(n: number, digits: number): string {
  const text = plain[digits]!.format(n).replace('-', '−')
  return /[1-9]/.test(text) ? text : text.replace('−', '')
}

/** Three significant figures: 1.24, 12.4, 124. */
function significant(n: number): string {
  const size = Math.abs(n)
  return decimal(n, size < 9.995 ? 2 : size < 99.95 ? 1 : 0)
}

/** base, kilo or mega, whichever keeps the figure short. */
function scaled(milli: number | null, base: string): Figure {
  if (milli === null || !Number.isFinite(milli)) return unknown
  const n = milli / 1000
  const size = Math.abs(n)
  if (size < 999.5) return { value: decimal(n, 0), unit: base }
  if (size < 999_500) return { value: significant(n / 1000), unit: `k${base}` }
  return { value: significant(n / 1e6), unit: `M${base}` }
}

/** Whether a power is printed as more than nought; what is not is drawn and told as nothing. */
export const noticeable = (milliwatts: number): boolean => milliwatts >= 500

/** A power in W, kW or MW. */
export const power = (milliwatts: number | null): Figure => scaled(milliwatts, 'W')

/** An energy in Wh, kWh or MWh. */
export const energy = (milliwattHours: number | null): Figure => scaled(milliwattHours, 'Wh')

/** A power in kW with two decimals, for columns that are compared down the page. */
export function kilowatts(milliwatts: number | null): Figure {
  if (milliwatts === null || !Number.isFinite(milliwatts)) return unknown
  return { value: decimal(milliwatts / 1e6, 2), unit: 'kW' }
}

/** An energy in kWh with the given decimals, for columns. */
export function kilowattHours(milliwattHours: number | null, digits: 2 | 3 = 2): Figure {
  if (milliwattHours === null || !Number.isFinite(milliwattHours)) return unknown
  return { value: decimal(milliwattHours / 1e6, digits), unit: 'kWh' }
}

/** An energy in kWh to the last digit that is booked. */
export const exactKilowattHours = (milliwattHours: number): Figure => ({ value: exact.format(milliwattHours / 1e6).replace('-', '−'), unit: 'kWh' })

/** A change, with its sign: +1.20, −0.30, and 0.00 for none that is printed. */
export function signed(figure: Figure): Figure {
  return /^[^−–]*[1-9]/.test(figure.value) ? { ...figure, value: `+${figure.value}` } : figure
}

/** An amount of money in hundredths of its currency. */
export function money(hundredths: number, currency: string): Figure {
  return { value: decimal(hundredths / 100, 2), unit: currency }
}

/** The figure as running text, with a no-break space before the unit. */
export const text = (figure: Figure): string => (figure.unit ? `${figure.value}\u00a0${figure.unit}` : figure.value)

/** A share of a whole; a little is not shown as nothing, nor nearly all as all. */
export function percent(part: number, whole: number): string {
  if (!(whole > 0) || !Number.isFinite(part)) return '–'
  const ratio = part / whole
  if (ratio > 0 && ratio < 0.01) return 'under 1%'
  if (ratio < 1 && ratio > 0.99) return 'over 99%'
  return percents.format(ratio)
}

/** A whole number with separators, from a number or a decimal text of any length. */
export function count(n: number | string): string {
  if (typeof n === 'number') return counts.format(n)
  return /^\d+$/.test(n) ? counts.format(BigInt(n)) : '–'
}

/** "1 device", "2 devices". */
export const plural = (n: number, one: string, many = `${one}s`): string => `${counts.format(n)} ${n === 1 ? one : many}`

/** Clock prints instants in the community's own time zone. */
export class Clock {
  readonly zone: string
  #time: Intl.DateTimeFormat
  #seconds: Intl.DateTimeFormat
  #day: Intl.DateTimeFormat
  #both: Intl.DateTimeFormat
  #date: Intl.DateTimeFormat
  #month: Intl.DateTimeFormat
  #parts: Intl.DateTimeFormat
  #zoned: Intl.DateTimeFormat

  constructor(zone: string) {
    this.zone = usable(zone)
    const make = (options: Intl.DateTimeFormatOptions) =>
      new Intl.DateTimeFormat(locale, { timeZone: this.zone, hourCycle: 'h23', ...options })
    this.#time = make({ hour: '2-digit', minute: '2-digit' })
    this.#seconds = make({ hour: '2-digit', minute: '2-digit', second: '2-digit' })
    this.#day = make({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' })
    this.#both = make({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })
    this.#date = make({ day: 'numeric', month: 'short' })
    this.#month = make({ month: 'long', year: 'numeric' })
    this.#parts = make({ year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' })
    this.#zoned = make({ hour: '2-digit', timeZoneName: 'short' })
  }

  time = (ms: number): string => this.#time.format(ms)
  seconds = (ms: number): string => this.#seconds.format(ms)
  day = (ms: number): string => this.#day.format(ms)
  date = (ms: number): string => this.#date.format(ms)
  month = (ms: number): string => this.#month.format(ms)
  both = (ms: number): string => this.#both.format(ms)
  span = (from: number, to: number): string => `${this.time(from)}–${this.time(to)}`

  /** The name of the time at an instant, such as CEST: it tells the two hours apart that an autumn night has of the same name. */
  season = (ms: number): string => this.#zoned.formatToParts(ms).find((part) => part.type === 'timeZoneName')?.value ?? ''

  /** The date at an instant as a date field has it: 2026-06-20. */
  iso(ms: number): string {
    const at = this.#at(ms)
    return `${at['year']}-${at['month']}-${at['day']}`
  }

  /** The instant at which a day of that form begins here; null where it is none. */
  begin(iso: string): number | null {
    const midnight = Date.parse(`${iso}T00:00:00Z`)
    if (!/^\d{4}-\d{2}-\d{2}$/.test(iso) || Number.isNaN(midnight)) return null
    let at = midnight - this.#ahead(midnight)
    at = midnight - this.#ahead(at) // the clocks may have been changed in between
    return this.iso(at) < iso ? at + 3_600_000 : at // where they skip midnight itself
  }

  /** The date some days after one; empty where it is none. */
  later(iso: string, days: number): string {
    const midnight = Date.parse(`${iso}T00:00:00Z`)
    return Number.isNaN(midnight) ? '' : new Date(midnight + days * 86_400_000).toISOString().slice(0, 10)
  }

  #at(ms: number): Record<string, string> {
    return Object.fromEntries(this.#parts.formatToParts(ms).map(({ type, value }) => [type, value]))
  }

  /** How far the clocks here are ahead of UTC. */
  #ahead(ms: number): number {
    const at = this.#at(ms)
    return Date.parse(`${at['year']}-${at['month']}-${at['day']}T${at['hour']}:${at['minute']}:${at['second']}Z`) - Math.floor(ms / 1000) * 1000
  }
}

function usable(zone: string): string {
  try {
    new Intl.DateTimeFormat(locale, { timeZone: zone || 'UTC' })
    return zone || 'UTC'
  } catch {
    return 'UTC' // a zone that this browser does not know
  }
}

/** A duration in words, in its largest unit: "12 minutes". */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 90) return plural(seconds, 'second')
  const minutes = Math.round(seconds / 60)
  if (minutes < 90) return plural(minutes, 'minute')
  const hours = Math.round(minutes / 60)
  return hours < 48 ? plural(hours, 'hour') : plural(Math.round(hours / 24), 'day')
}

/** How fast the world runs: whole numbers from ten on, a decimal below. */
export const pace = (speed: number): string => decimal(speed, speed >= 9.5 || Math.abs(speed - Math.round(speed)) < 0.05 ? 0 : 1)

/** A clock offset in words, for people who do not think in signs. */
export function offset(ms: number): string {
  const size = Math.abs(ms)
  if (size < 1) return 'exact'
  const amount = size < 1000 ? `${counts.format(size)} ms` : `${decimal(size / 1000, 1)} s`
  return `${amount} ${ms > 0 ? 'ahead' : 'behind'}`
}
