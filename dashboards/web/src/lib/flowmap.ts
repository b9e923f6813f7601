// SPDX-License-Identifier: AGPL-3.0-or-later

// The geometry of the flow diagram: five places, six ways between them, drawn
// wide for a desktop and tall for a phone.
import type { Flow } from './decode'
import { noticeable } from './format'

export type Way = 'own' | 'supply' | 'shared' | 'storage' | 'export' | 'import'
export type Hue = 'sun' | 'share' | 'store' | 'grid'

type Xy = readonly [number, number]
/** A cubic Bézier curve. */
export type Curve = readonly [Xy, Xy, Xy, Xy]

export interface Place {
  x: number
  y: number
  r: number
}

export interface Layout {
  width: number
  height: number
  /** The width of the broadest way. */
  broadest: number
  places: Record<'roofs' | 'common' | 'homes' | 'batteries' | 'grid', Place>
  ways: Record<Way, Curve>
}

export const wide: Layout = {
  width: 720,
  height: 424,
  broadest: 38,
  places: {
    roofs: { x: 84, y: 190, r: 64 },
    common: { x: 360, y: 190, r: 64 },
    homes: { x: 636, y: 190, r: 64 },
    batteries: { x: 222, y: 360, r: 54 },
    grid: { x: 498, y: 360, r: 54 },
  },
  ways: {
    own: [[84, 126], [84, 2], [636, 2], [636, 126]],
    supply: [[148, 190], [200, 190], [240, 190], [296, 190]],
    shared: [[424, 190], [480, 190], [520, 190], [572, 190]],
    storage: [[322, 242], [300, 274], [222, 252], [222, 306]],
    export: [[398, 242], [420, 274], [498, 252], [498, 306]],
    import: [[552, 360], [606, 360], [636, 324], [636, 254]],
  },
}

export const tall: Layout = {
  width: 344,
  height: 500,
  broadest: 26,
  places: {
    roofs: { x: 140, y: 66, r: 56 },
    common: { x: 140, y: 250, r: 56 },
    homes: { x: 140, y: 434, r: 56 },
    batteries: { x: 290, y: 146, r: 50 },
    grid: { x: 290, y: 354, r: 50 },
  },
  ways: {
    own: [[84, 66], [4, 76], [4, 424], [84, 434]],
    supply: [[140, 122], [140, 150], [140, 170], [140, 194]],
    shared: [[140, 306], [140, 330], [140, 350], [140, 378]],
    storage: [[193, 232], [240, 232], [290, 250], [290, 196]],
    export: [[193, 268], [240, 268], [290, 250], [290, 304]],
    import: [[290, 404], [290, 430], [256, 434], [196, 434]],
  },
}

export interface Stream {
  way: Way
  hue: Hue
  milliwatts: number
  /** Against the curve's direction: a battery that discharges. */
  backwards: boolean
}

/** What runs along each way now. Production that is not used at home goes to the common first. */
export function streams(flow: Flow): Stream[] {
  const discharging = flow.discharge > flow.charge
  return [
    { way: 'own', hue: 'sun', milliwatts: flow.ownUse, backwards: false },
    { way: 'supply', hue: 'sun', milliwatts: Math.max(0, flow.production - flow.ownUse), backwards: false },
    { way: 'shared', hue: 'share', milliwatts: flow.shared + flow.fromStorage, backwards: false },
    { way: 'storage', hue: 'store', milliwatts: Math.abs(flow.discharge - flow.charge), backwards: discharging },
    { way: 'export', hue: 'grid', milliwatts: flow.gridExport, backwards: false },
    { way: 'import', hue: 'grid', milliwatts: flow.gridImport, backwards: false },
  ]
}

/** The width of a stream on the drawing: in proportion to its power, and never so thin that it vanishes. */
export function breadth(milliwatts: number, scale: number, most: number): number {
  if (!noticeable(milliwatts)) return 0
  return 2 + (most - 2) * Math.min(1, milliwatts / Math.max(scale, 1))
}

/** The next of 1, 1.5, 2, 3, 5 and 7 times a power of ten, so that the drawing's scale moves seldom; at least 1 kW. */
export function niceScale(milliwatts: number): number {
  const floor = Math.max(1e6, milliwatts)
  const magnitude = 10 ** Math.floor(Math.log10(floor))
  const step = [1, 1.5, 2, 3, 5, 7].find((s) => s * magnitude >= floor) ?? 10
  return step * magnitude
}

export const path = ([a, b, c, d]: Curve): string => `M${a[0]} ${a[1]}C${b[0]} ${b[1]} ${c[0]} ${c[1]} ${d[0]} ${d[1]}`

/** Where a curve is at t (0 to 1), and its direction there in degrees. */
export function along([a, b, c, d]: Curve, t: number): { x: number; y: number; angle: number } {
  const u = 1 - t
  const at = (i: 0 | 1) => u ** 3 * a[i] + 3 * u * u * t * b[i] + 3 * u * t * t * c[i] + t ** 3 * d[i]
  const slope = (i: 0 | 1) => u * u * (b[i] - a[i]) + 2 * u * t * (c[i] - b[i]) + t * t * (d[i] - c[i])
  return { x: at(0), y: at(1), angle: (Math.atan2(slope(1), slope(0)) * 180) / Math.PI }
}

/** Parts of a ring in percent of its round, one after the other, each with where it starts. */
export function arcs(parts: { hue: Hue; amount: number }[]): { hue: Hue; start: number; length: number }[] {
  const whole = parts.reduce((sum, part) => sum + Math.max(0, part.amount), 0)
  let start = 0
  return parts.map(({ hue, amount }) => {
    const length = whole > 0 ? (100 * Math.max(0, amount)) / whole : 0
    const arc = { hue, start, length }
    start += length
    return arc
  })
}
