// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { Clock, count, duration, energy, exactKilowattHours, kilowattHours, kilowatts, offset, pace, percent, power, text } from './format'

describe('power', () => {
  it.each([
    [0, '0 W'],
    [-400, '0 W'], // a negative nought is nought
    [499, '0 W'],
    [500, '1 W'],
    [999_499, '999 W'],
    [999_500, '1.00 kW'],
    [1_234_567, '1.23 kW'],
    [9_994_999, '9.99 kW'],
    [9_995_000, '10.0 kW'],
    [99_950_000, '100 kW'],
    [999_499_999, '999 kW'],
    [999_500_000, '1.00 MW'],
    [-1_234_567, '−1.23 kW'],
    [12_345_678_900, '12.3 MW'],
  ])('%d mW is %s', (milliwatts, want) => {
    expect(text(power(milliwatts)).replace('\u00a0', ' ')).toBe(want)
  })
  it('shows a dash for what is not known', () => {
    expect(text(power(null))).toBe('–')
    expect(text(power(NaN))).toBe('–')
    expect(text(kilowatts(null))).toBe('–')
  })
})

describe('energy and columns', () => {
  it('keeps one unit in a column', () => {
    expect(kilowatts(840_000)).toEqual({ value: '0.84', unit: 'kW' })
    expect(kilowatts(1_234_567_890)).toEqual({ value: '1,234.57', unit: 'kW' })
    expect(kilowattHours(1_500)).toEqual({ value: '0.00', unit: 'kWh' })
    expect(kilowattHours(1_500, 3)).toEqual({ value: '0.002', unit: 'kWh' })
  })
  it('gives what is booked to the last digit', () => {
    expect(text(exactKilowattHours(1_234_567_890)).replace('\u00a0', ' ')).toBe('1,234.56789 kWh')
  })
  it('scales energy like power', () => {
    expect(energy(120_000)).toEqual({ value: '120', unit: 'Wh' })
    expect(energy(9_600_000)).toEqual({ value: '9.60', unit: 'kWh' })
  })
})

describe('percent', () => {
  it.each([
    [0, 10, '0%'],
    [0.05, 10, 'under 1%'],
    [8.4, 10, '84%'],
    [9.95, 10, 'over 99%'],
    [10, 10, '100%'],
    [1, 0, '–'],
  ])('%d of %d is %s', (part, whole, want) => expect(percent(part, whole)).toBe(want))
})

describe('count', () => {
  it('holds what a double cannot', () => expect(count('9007199254740993')).toBe('9,007,199,254,740,993'))
  it('does not print nonsense', () => expect(count('12a')).toBe('–'))
})

describe('Clock', () => {
  const noon = Date.UTC(2026, 6, 1, 12, 0, 5)
  it('prints in the community’s zone', () => {
    expect(new Clock('Europe/Berlin').seconds(noon)).toBe('14:00:05')
    expect(new Clock('Europe/Berlin').day(noon)).toMatch(/^Wednesday,? 1 July 2026$/)
    expect(new Clock('UTC').span(noon, noon + 900_000)).toBe('12:00–12:15')
  })
  it('counts midnight as 00', () => expect(new Clock('UTC').time(Date.UTC(2026, 0, 1))).toBe('00:00'))
  it('takes UTC for a zone that nobody knows', () => {
    expect(new Clock('Middle/Earth').zone).toBe('UTC')
    expect(new Clock('').zone).toBe('UTC')
  })
})

it('says durations and offsets in words', () => {
  expect(duration(1_000)).toBe('1 second')
  expect(duration(46 * 60_000)).toBe('46 minutes')
  expect(duration(24 * 3_600_000)).toBe('24 hours')
  expect(duration(5 * 86_400_000)).toBe('5 days')
  expect([1.0004, 1.5, 60.0711, 3599.6].map(pace)).toEqual(['1', '1.5', '60', '3,600'])
  expect(offset(0)).toBe('exact')
  expect(offset(-12)).toBe('12 ms behind')
  expect(offset(1_500)).toBe('1.5 s ahead')
})

describe('days', () => {
  const vienna = new Clock('Europe/Vienna')
  it.each([
    ['2026-06-20', '2026-06-19T22:00:00Z', 24],
    ['2026-03-29', '2026-03-28T23:00:00Z', 23], // the clocks go on
    ['2026-10-25', '2026-10-24T22:00:00Z', 25], // and back
    ['2026-12-31', '2026-12-30T23:00:00Z', 24],
  ])('%s begins where the clocks there say so', (day, want, hours) => {
    const from = vienna.begin(day)!
    expect(new Date(from).toISOString()).toBe(want.replace('Z', '.000Z'))
    expect((vienna.begin(vienna.later(day, 1))! - from) / 3_600_000).toBe(hours)
    expect([vienna.iso(from), vienna.iso(from - 1)]).toEqual([day, vienna.later(day, -1)])
  })
  it('finds it where the clocks are changed between that midnight and the one of Greenwich', () => {
    const auckland = new Clock('Pacific/Auckland')
    expect(new Date(auckland.begin('2026-04-05')!).toISOString()).toBe('2026-04-04T11:00:00.000Z')
  })
  it('finds the first instant of a day that has no midnight', () => {
    const beirut = new Clock('Asia/Beirut')
    const from = beirut.begin('2026-03-29')!
    expect([beirut.iso(from), beirut.iso(from - 1)]).toEqual(['2026-03-29', '2026-03-28'])
  })
  it('knows what is no day', () => {
    expect(vienna.later('', 1)).toBe('')
    expect([vienna.begin(''), vienna.begin('tomorrow'), vienna.begin('2026-13-40')]).toEqual([null, null, null])
  })
  it('tells the two hours of an autumn night apart', () => {
    const [first, second] = [Date.UTC(2026, 9, 25, 0), Date.UTC(2026, 9, 25, 1)]
    expect(vienna.time(first)).toBe(vienna.time(second))
    expect(vienna.season(first)).not.toBe(vienna.season(second))
  })
})
