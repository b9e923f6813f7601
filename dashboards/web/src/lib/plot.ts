// SPDX-License-Identifier: AGPL-3.0-or-later

// The drawing of the chart: uPlot's options, with colours from the page's own
// custom properties and hatchings as on the rest of the page.
import uPlot from 'uplot'
import type { Hue } from './flowmap'
import type { Clock } from './format'

const hues: Hue[] = ['sun', 'share', 'store', 'grid']

/** A fill with the hue's hatching, as a canvas pattern at the screen's resolution. */
function hatched(context: CanvasRenderingContext2D, hue: Hue, colour: string, hatch: string): CanvasPattern | string {
  const dots = Math.max(1, Math.round(devicePixelRatio))
  const size = (hue === 'share' ? 6 : 4) * dots
  const tile = document.createElement('canvas')
  tile.width = size
  tile.height = size
  const pen = tile.getContext('2d')
  if (!pen) return colour
  pen.fillStyle = colour
  pen.fillRect(0, 0, size, size)
  pen.strokeStyle = hatch
  pen.lineWidth = dots
  pen.beginPath()
  if (hue === 'share') {
    for (const shift of [-size, 0, size]) {
      pen.moveTo(shift, size)
      pen.lineTo(shift + size, 0)
    }
  } else if (hue === 'store') {
    pen.moveTo(0, dots / 2)
    pen.lineTo(size, dots / 2)
  } else if (hue === 'grid') {
    pen.moveTo(dots / 2, 0)
    pen.lineTo(dots / 2, size)
  }
  pen.stroke()
  return context.createPattern(tile, 'repeat') ?? colour
}

export interface PlotOptions {
  into: HTMLElement
  data: number[][]
  width: number
  height: number
  clock: Clock
  /** Mean powers of whole intervals are drawn as steps. */
  steps: boolean
  onCursor: (index: number | null) => void
}

/** Draws the chart. Colours are read once: draw it anew when the theme changes. */
export function plot(options: PlotOptions): uPlot {
  const style = getComputedStyle(document.documentElement)
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim()
  const font = '12px "Hanken Grotesk", system-ui, sans-serif'
  const paths = options.steps ? uPlot.paths.stepped?.({ align: 1 }) : undefined
  const shared = { points: { show: false }, ...(paths ? { paths } : {}) }
  const fill = (hue: Hue) => (u: uPlot) => hatched(u.ctx, hue, colour(hue), colour('hatch'))
  const axis = { stroke: colour('soft'), font, ticks: { show: false } }

  const settings: uPlot.Options = {
    width: options.width,
    height: options.height,
    padding: [12, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, Math.max(0.5, max * 1.08)] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 34,
        space: 70,
        values: (_u, splits) => {
          const close = splits.length > 1 && splits[1]! - splits[0]! < 60
          return splits.map((s) => (close ? options.clock.seconds(s * 1000) : options.clock.time(s * 1000)))
        },
      },
      {
        ...axis,
        size: 58,
        grid: { stroke: colour('line'), width: 1 },
        values: (_u, splits) => splits.map((kw) => `${Number(kw.toFixed(2))}\u00a0kW`),
      },
    ],
    series: [
      {},
      ...hues.map((hue, i) => ({ ...shared, stroke: colour(hue), width: 1, ...(i === 0 ? { fill: fill(hue) } : {}) })),
      { ...shared, stroke: colour('ink'), width: 1.75, dash: [7, 4] },
    ],
    // Each hue fills from its own top down to the one below.
    bands: hues.slice(1).map((hue, i) => ({ series: [i + 2, i + 1] as [number, number], fill: fill(hue) })),
    hooks: { setCursor: [(u) => options.onCursor(u.cursor.idx ?? null)] },
  }
  const chart = new uPlot(settings, options.data as unknown as uPlot.AlignedData, options.into)
  // uPlot's own cursor lines and canvas say nothing to a screen reader; the page's table and text do.
  chart.root.setAttribute('aria-hidden', 'true')
  return chart
}
