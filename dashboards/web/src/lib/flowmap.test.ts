// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { decodeLive } from './decode'
import { along, arcs, breadth, niceScale, streams, tall, wide, type Way } from './flowmap'

const flow = (f: Record<string, string>) => decodeLive({ flow: f }).flow
const way = (f: Record<string, string>, name: Way) => streams(flow(f)).find((s) => s.way === name)!

describe('streams', () => {
  it('sends what is left of the sun through the common', () => {
    const f = { productionMilliwatts: '10', ownUseMilliwatts: '4', sharedMilliwatts: '3', chargeMilliwatts: '2', gridExportMilliwatts: '1' }
    expect(way(f, 'supply').milliwatts).toBe(6)
    expect(way(f, 'shared').milliwatts).toBe(3)
    expect(way(f, 'storage')).toMatchObject({ milliwatts: 2, backwards: false })
    expect(way(f, 'export').milliwatts).toBe(1)
  })
  it('turns the battery’s way round when it gives', () => {
    const f = { dischargeMilliwatts: '5', sharedFromStorageMilliwatts: '5' }
    expect(way(f, 'storage')).toMatchObject({ milliwatts: 5, backwards: true })
    expect(way(f, 'shared').milliwatts).toBe(5)
  })
})

it('widens with the power, within bounds', () => {
  expect(breadth(0, 1e6, 30)).toBe(0)
  expect(breadth(499, 1e6, 30)).toBe(0) // printed as 0 W
  expect(breadth(500, 1e9, 30)).toBeGreaterThanOrEqual(2)
  expect(breadth(500_000, 1e6, 30)).toBe(16)
  expect(breadth(5e6, 1e6, 30)).toBe(30)
})

it('has a scale that moves seldom', () => {
  expect(niceScale(0)).toBe(1e6)
  expect(niceScale(1.2e6)).toBe(1.5e6)
  expect(niceScale(23.1e6)).toBe(3e7)
  expect(niceScale(71e6)).toBe(1e8)
})

it('draws arcs that close the ring', () => {
  const ring = arcs([
    { hue: 'sun', amount: 3 },
    { hue: 'share', amount: -1 },
    { hue: 'grid', amount: 1 },
  ])
  expect(ring).toEqual([
    { hue: 'sun', start: 0, length: 75 },
    { hue: 'share', start: 75, length: 0 },
    { hue: 'grid', start: 75, length: 25 },
  ])
  expect(arcs([{ hue: 'sun', amount: 0 }])[0]!.length).toBe(0)
})

describe.each([
  ['wide', wide],
  ['tall', tall],
])('the %s layout', (_, layout) => {
  const ends: Record<Way, [keyof typeof layout.places, keyof typeof layout.places]> = {
    own: ['roofs', 'homes'],
    supply: ['roofs', 'common'],
    shared: ['common', 'homes'],
    storage: ['common', 'batteries'],
    export: ['common', 'grid'],
    import: ['grid', 'homes'],
  }
  it.each(Object.entries(ends))('%s leads from place to place', (name, [from, to]) => {
    const curve = layout.ways[name as Way]
    for (const [t, key] of [[0, from], [1, to]] as const) {
      const { x, y } = along(curve, t)
      const place = layout.places[key]
      expect(Math.hypot(x - place.x, y - place.y)).toBeLessThanOrEqual(place.r + 6)
    }
  })
  it('keeps its places inside the frame', () => {
    for (const { x, y, r } of Object.values(layout.places)) {
      expect(x - r).toBeGreaterThanOrEqual(0)
      expect(x + r).toBeLessThanOrEqual(layout.width)
      expect(y + r).toBeLessThanOrEqual(layout.height)
    }
  })
})
