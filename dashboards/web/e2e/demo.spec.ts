// SPDX-License-Identifier: AGPL-3.0-or-later

// The page against a running coordinator, usually `allmende demo`; its address
// comes in ALLMENDE_URL. Without it this file is skipped, and says so.
import { expect, test, type Page } from '@playwright/test'
import { accessible, fits, ready, schemes, sizes, watch } from './watch'

const base = process.env.ALLMENDE_URL ?? ''
test.skip(base === '', 'ALLMENDE_URL names no running coordinator, such as http://127.0.0.1:8080')

/** What the page shows, in milliwatts, with the sequence that it says it shows. */
const shown = (page: Page) =>
  page.evaluate(() => {
    const main = document.querySelector('main')!
    const figures: Record<string, string> = {}
    for (const data of document.querySelectorAll<HTMLDataElement>('.balance data[data-name]')) figures[data.dataset.name!] = data.value
    const shares: Record<string, string> = {}
    for (const row of document.querySelectorAll<HTMLElement>('[data-member]')) {
      shares[row.dataset.member!] = row.querySelector<HTMLDataElement>('data[data-name=share]')!.value
    }
    return { sequence: main.dataset.sequence!, figures, shares }
  })

interface Answer {
  sequence: string
  flow: Record<string, string>
  members: { memberId: string; shareMilliwatts: string }[]
}

test('figures move, and agree with REST at the same sequence', async ({ page, request }) => {
  const seen = watch(page, new URL(base).origin)
  await page.goto(base)
  await ready(page)

  const first = await shown(page)
  await expect.poll(async () => (await shown(page)).sequence).not.toBe(first.sequence)
  await expect.poll(async () => JSON.stringify((await shown(page)).figures)).not.toBe(JSON.stringify(first.figures))

  // Ticks go on while the test looks: hold the page, and take answers until one is of the same tick.
  // The page then shows exactly what REST said.
  let answer: Answer | undefined
  await expect(async () => {
    const said = (await (await request.get(`${base}/v1/live`)).json()) as Answer
    await page.locator(`main[data-sequence="${said.sequence}"]`).waitFor({ timeout: 2_000 })
    await page.getByRole('button', { name: 'Pause' }).click()
    const held = await shown(page)
    if (held.sequence !== said.sequence) await page.getByRole('button', { name: 'Pause' }).click()
    expect(held.sequence).toBe(said.sequence)
    answer = said
  }).toPass({ timeout: 30_000 })

  const held = await shown(page)
  const flow = answer!.flow
  expect(held.figures).toMatchObject({
    production: flow.productionMilliwatts,
    consumption: flow.consumptionMilliwatts,
    ownUse: flow.ownUseMilliwatts,
    shared: flow.sharedMilliwatts,
    fromStorage: flow.sharedFromStorageMilliwatts,
    charge: flow.chargeMilliwatts,
    gridExport: flow.gridExportMilliwatts,
  })
  for (const member of answer!.members) expect(held.shares[member.memberId]).toBe(member.shareMilliwatts)
  expect(Object.keys(held.shares)).toHaveLength(answer!.members.length)

  expect(seen).toEqual({ mishaps: [], strangers: [] })
})

test('the charter’s fingerprint is checked by the browser', async ({ page }) => {
  await page.goto(base)
  await ready(page)
  const section = page.getByRole('region', { name: 'The charter in force' })
  await expect(section).toContainText('it fits')
  await expect(section.getByRole('listitem').first()).not.toBeEmpty()
})

test('gateways are well, or say what to do', async ({ page, request }) => {
  await page.goto(base)
  await ready(page)
  const { gateways } = (await (await request.get(`${base}/v1/gateways`)).json()) as { gateways: unknown[] }
  expect(gateways.length).toBeGreaterThan(0)
  await expect(page.locator('[data-gateway]')).toHaveCount(gateways.length)
})

for (const scheme of schemes) {
  for (const { name, width, height } of sizes) {
    test(`${name}, ${scheme}: axe finds nothing, everything fits, and a picture`, async ({ page }) => {
      const seen = watch(page, new URL(base).origin)
      await page.emulateMedia({ colorScheme: scheme })
      await page.setViewportSize({ width, height })
      await page.goto(base)
      await ready(page)
      await page.locator('.uplot').waitFor()
      await accessible(page)
      await fits(page)
      await page.screenshot({ path: `test-results/demo-${name}-${scheme}.png`, fullPage: true })
      await page.screenshot({ path: `test-results/demo-${name}-${scheme}-top.png` })
      expect(seen).toEqual({ mishaps: [], strangers: [] })
    })
  }
}
