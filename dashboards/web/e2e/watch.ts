// SPDX-License-Identifier: AGPL-3.0-or-later
import AxeBuilder from '@axe-core/playwright'
import { expect, type Page } from '@playwright/test'

/** Collects what must never happen on the page: console errors, exceptions, requests to other origins. */
export function watch(page: Page, origin: string): { mishaps: string[]; strangers: string[] } {
  const seen = { mishaps: [] as string[], strangers: [] as string[] }
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') seen.mishaps.push(message.text())
  })
  page.on('pageerror', (error) => seen.mishaps.push(String(error)))
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (url.origin !== origin && url.protocol !== 'data:') seen.strangers.push(request.url())
  })
  return seen
}

/** The page is live and has something to show in every part. */
export async function ready(page: Page): Promise<void> {
  await page.locator('main[data-link=live]').waitFor()
  await page.locator('[data-member]').first().waitFor()
  await page.evaluate(() => document.fonts.ready)
}

/** No finding of axe-core, in the present state of the page. */
export async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze()
  const findings = violations.map((v) => `${v.id}: ${v.help}\n${v.nodes.map((n) => `  ${n.target.join(' ')}\n  ${n.failureSummary}`).join('\n')}`)
  expect(findings).toEqual([])
}

/** Nothing sticks out to the right. */
export async function fits(page: Page): Promise<void> {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth] as const)
  expect(content).toBeLessThanOrEqual(window)
}

export const sizes = [
  { name: 'phone', width: 360, height: 780 },
  { name: 'desktop', width: 1280, height: 900 },
] as const

export const schemes = ['light', 'dark'] as const
