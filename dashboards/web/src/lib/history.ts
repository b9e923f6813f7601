// SPDX-License-Identifier: AGPL-3.0-or-later

// The chart's memory: points in time, from the live stream or from settled
// intervals, and what can be said about them in words.
import type { Flow, Live, Settled } from './decode'

/** One moment, powers in milliwatts. The first four add up to consumption. */
export interface Point {
  at: number
  ownUse: number
  shared: number
  fromStorage: number
  grid: number
  consumption: number
  production: number
}

/** Live points that are kept; at one a second an hour, in 0.5 MB. */
export const capacity = 3600

function point(at: number, flow: Omit<Flow, 'quality' | 'missingAssets' | 'charge' | 'discharge' | 'gridImport' | 'gridExport'>): Point {
  const { ownUse, shared, fromStorage, consumption, production } = flow
  // What members take from the grid. The community's import may be more: batteries and losses.
  const grid = Math.max(0, consumption - ownUse - shared - fromStorage)
  return { at, ownUse, shared, fromStorage, grid, consumption, production }
}

/** History is a bounded row of points, rising in time. */
export class History {
  points: Point[] = []
  /** Rises with every change, so that a view knows. */
  version = 0

  push(live: Live): void {
    const last = this.points.at(-1)
    if (last && live.at <= last.at) return
    this.points.push(point(live.at, live.flow))
    if (this.points.length > capacity) this.points.splice(0, this.points.length - capacity)
    this.version++
  }

  clear(): void {
    this.points = []
    this.version++
  }

  /** The largest power of the last points, for a scale that does not jump. */
  peak(of = 600): number {
    let peak = 0
    for (const p of this.points.slice(-of)) peak = Math.max(peak, p.production, p.consumption)
    return peak
  }
}

/** Settled intervals as mean powers, each at the start of its interval. */
export function settledPoints(intervals: Settled[]): Point[] {
  const points: Point[] = []
  for (const i of intervals) {
    if (!(i.length > 0)) continue
    const mean = (milliwattHours: number) => (milliwattHours * 3_600_000) / i.length
    const flow = {
      ownUse: mean(i.ownUse),
      shared: mean(i.shared),
      fromStorage: mean(i.fromStorage),
      consumption: mean(i.consumption),
      production: mean(i.production),
    }
    points.push(point(i.start, flow))
  }
  return points
}

/** At most `rows` points, each the mean of those around it, for a table that can be read. */
export function condense(points: Point[], rows: number): Point[] {
  if (points.length <= rows) return points
  const out: Point[] = []
  for (let row = 0; row < rows; row++) {
    const from = Math.floor((row * points.length) / rows)
    const group = points.slice(from, Math.floor(((row + 1) * points.length) / rows))
    const mean = (key: keyof Point) => group.reduce((sum, p) => sum + p[key], 0) / group.length
    out.push({
      at: group[0]!.at,
      ownUse: mean('ownUse'),
      shared: mean('shared'),
      fromStorage: mean('fromStorage'),
      grid: mean('grid'),
      consumption: mean('consumption'),
      production: mean('production'),
    })
  }
  return out
}

export interface Summary {
  span: number
  least: number
  most: number
  peakProduction: number
  peakAt: number
  /** The part of consumption that the community covered itself, 0 to 1. */
  own: number
}

/** What the chart shows, in a few figures; null when there is nothing to sum up. */
export function summarise(points: Point[]): Summary | null {
  const first = points[0]
  const last = points.at(-1)
  if (!first || !last || points.length < 2) return null
  const summary = { span: last.at - first.at, least: Infinity, most: 0, peakProduction: 0, peakAt: first.at, own: 0 }
  let used = 0
  let covered = 0
  for (const p of points) {
    summary.least = Math.min(summary.least, p.consumption)
    summary.most = Math.max(summary.most, p.consumption)
    if (p.production > summary.peakProduction) {
      summary.peakProduction = p.production
      summary.peakAt = p.at
    }
    used += p.consumption
    covered += p.consumption - p.grid
  }
  summary.own = used > 0 ? covered / used : 0
  return summary
}

/** Columns as uPlot wants them: seconds, then the stacked tops, then production; all in kW. */
export function columns(points: Point[]): number[][] {
  const out: number[][] = [[], [], [], [], [], []]
  for (const p of points) {
    const own = p.ownUse
    const shared = own + p.shared
    const stored = shared + p.fromStorage
    const row = [own, shared, stored, stored + p.grid, p.production]
    out[0]!.push(p.at / 1000)
    row.forEach((value, i) => out[i + 1]!.push(value / 1e6))
  }
  return out
}
