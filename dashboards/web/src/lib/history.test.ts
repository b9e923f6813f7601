// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { decodeLive, type Settled } from './decode'
import { capacity, columns, condense, History, settledPoints, summarise, type Point } from './history'

const at = (ms: number, consumption = 4_000_000, production = 2_000_000) =>
  decodeLive({
    sequence: '1',
    atUnixMs: String(ms),
    flow: {
      consumptionMilliwatts: String(consumption),
      ownUseMilliwatts: '1000000',
      sharedMilliwatts: '500000',
      sharedFromStorageMilliwatts: '250000',
      productionMilliwatts: String(production),
    },
  })

describe('History', () => {
  it('keeps rising times only, and no more than it may', () => {
    const history = new History()
    for (let i = 1; i <= capacity + 10; i++) history.push(at(i * 1000))
    history.push(at(5000))
    expect(history.points).toHaveLength(capacity)
    expect(history.points[0]!.at).toBe(11_000)
    expect(history.points.at(-1)!.at).toBe((capacity + 10) * 1000)
  })
  it('says when it changed, and how high the powers were', () => {
    const history = new History()
    history.push(at(1, 3e6, 9e6))
    history.push(at(2, 4e6, 1e6))
    expect(history.version).toBe(2)
    expect(history.peak()).toBe(9e6)
    expect(history.peak(1)).toBe(4e6)
    history.clear()
    expect(history.points).toEqual([])
    expect(history.version).toBe(3)
  })
})

describe('columns', () => {
  it('stacks to the consumption, production apart', () => {
    const history = new History()
    history.push(at(60_000))
    expect(columns(history.points)).toEqual([[60], [1], [1.5], [1.75], [4], [2]])
  })
})

it('turns energies of intervals into mean powers', () => {
  const interval = { start: 0, length: 900_000, ownUse: 250_000, shared: 0, fromStorage: 0, consumption: 500_000, production: 1_000_000 }
  const [point] = settledPoints([interval as Settled, { ...interval, length: 0 } as Settled])
  expect(point).toEqual({ at: 0, ownUse: 1e6, shared: 0, fromStorage: 0, grid: 1e6, consumption: 2e6, production: 4e6 })
})

const row = (i: number): Point => ({ at: i, ownUse: i, shared: 0, fromStorage: 0, grid: i, consumption: 2 * i, production: i })

it('condenses without losing anything: the mean of the means is the mean', () => {
  const points = Array.from({ length: 100 }, (_, i) => row(i))
  const few = condense(points, 20)
  expect(few).toHaveLength(20)
  expect(few[0]!.at).toBe(0)
  const mean = (of: Point[]) => of.reduce((sum, p) => sum + p.consumption, 0) / of.length
  expect(mean(few)).toBeCloseTo(mean(points))
  expect(condense(points, 200)).toBe(points)
})

it('sums up', () => {
  expect(summarise([row(1)])).toBeNull()
  expect(summarise([row(1), row(3), row(2)])).toEqual({ span: 1, least: 2, most: 6, peakProduction: 3, peakAt: 3, own: 0.5 })
})
