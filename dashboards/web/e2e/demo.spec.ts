// SPDX-License-Identifier: AGPL-3.0-or-later

// The page against a running coordinator, usually `allmende demo`; its address
// comes in ALLMENDE_URL. Without it this file is skipped, and says so.
import { expect, test, type Page } from '@playwright/test'
import { accessible, fits, ready, schemes, sizes, watch } from './watch'

const base = process.env.ALLMENDE_URL ?? ''
test.skip(base === '', 'ALLMENDE_URL names no running coordinator, such as http://127.0.0.1:8080')

interface Answer {
  sequence: string
  flow: Record<string, string>
  members: { memberId: string; shareMilliwatts: string }[]
}

interface Shown {
  sequence: string
  /** Exact values in milliwatts, by name. */
  figures: Record<string, string>
  /** The same as printed. */
  printed: Record<string, string>
  /** What the diagram draws, in milliwatts. */
  ways: Record<string, string>
  shares: Record<string, string>
}

/** What the page shows, with the sequence that it says it shows, and what REST answers at the same sequence. */
const compared = (page: Page) =>
  page.evaluate(async (): Promise<{ shown: Shown; said: Answer }> => {
    const look = (): Shown => {
      const shown: Shown = { sequence: document.querySelector('main')!.dataset.sequence!, figures: {}, printed: {}, ways: {}, shares: {} }
      for (const data of document.querySelectorAll<HTMLDataElement>('.balance data[data-name]')) {
        shown.figures[data.dataset.name!] = data.value
        shown.printed[data.dataset.name!] = data.textContent!
      }
      for (const way of document.querySelectorAll<SVGElement>('[data-way]')) shown.ways[way.dataset.way!] = way.dataset.milliwatts!
      for (const row of document.querySelectorAll<HTMLElement>('[data-member]')) {
        shown.shares[row.dataset.member!] = row.querySelector<HTMLDataElement>('data[data-name=share]')!.value
      }
      return shown
    }
    // Ticks go on meanwhile, so both are looked at again and again until they speak of the same one.
    const answers = new Map<string, Answer>()
    for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((done) => setTimeout(done, 10))) {
      const answer = (await (await fetch('/v1/live')).json()) as Answer
      answers.set(answer.sequence, answer)
      const shown = look()
      const said = answers.get(shown.sequence)
      if (said) return { shown, said }
    }
    throw new Error('a minute of answers, and none of them of a tick that the page shows')
  })

/** As the page is meant to print a power, worked out apart from it. */
function print(milliwatts: string): string {
  const watts = Number(milliwatts) / 1000
  if (watts < 999.5) return `${watts.toFixed(0)}W`
  const kilowatts = watts / 1000
  return `${kilowatts.toFixed(kilowatts < 9.995 ? 2 : kilowatts < 99.95 ? 1 : 0)}kW`
}

test('figures move, and agree with REST at the same sequence', async ({ page }) => {
  const seen = watch(page, new URL(base).origin)
  await page.goto(base)
  await ready(page)

  const first = await compared(page)
  await expect.poll(async () => JSON.stringify((await compared(page)).shown.figures)).not.toBe(JSON.stringify(first.shown.figures))

  const then = await compared(page)
  expect(BigInt(then.said.sequence)).toBeGreaterThan(BigInt(first.said.sequence))
  for (const { shown, said } of [first, then]) {
    const flow = said.flow
    const want = {
      production: flow.productionMilliwatts,
      consumption: flow.consumptionMilliwatts,
      ownUse: flow.ownUseMilliwatts,
      shared: flow.sharedMilliwatts,
      fromStorage: flow.sharedFromStorageMilliwatts,
      charge: flow.chargeMilliwatts,
    }
    expect(shown.figures).toMatchObject(want)
    expect(shown.ways).toMatchObject({ own: flow.ownUseMilliwatts, export: flow.gridExportMilliwatts, import: flow.gridImportMilliwatts })
    for (const [name, milliwatts] of Object.entries(want)) expect(shown.printed[name]).toBe(print(milliwatts!))
    expect(shown.shares).toEqual(Object.fromEntries(said.members.map((m) => [m.memberId, m.shareMilliwatts])))
  }
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

test('booked energy agrees with REST, and a table holds the same', async ({ page, request }) => {
  await page.goto(base)
  await ready(page)
  await expect.poll(async () => Number(((await (await request.get(`${base}/v1/live`)).json()) as { ledgerSize: string }).ledgerSize)).toBeGreaterThan(2)
  await page.getByRole('link', { name: 'Booked' }).click()
  await page.getByRole('button', { name: '24 hours' }).click()
  const member = await page.getByLabel('Of').inputValue()
  await page.getByText('As a table').click()
  const figures = page.getByRole('table', { name: 'Booked energy' }).getByRole('row').nth(1).locator('data')
  const { energies } = (await (await request.get(`${base}/v1/history/members/${member}/booked?toUnixMs=${Date.UTC(2100, 0)}&fromUnixMs=${Date.UTC(2026, 5, 19)}&by=BOOKED_BY_INTERVAL`)).json()) as { energies: Record<string, string>[] }
  const want = [energies[0]!.consumptionMilliwattHours, energies[0]!.shareMilliwattHours, energies[0]!.fromStorageMilliwattHours]
  // The table follows the button as soon as its answer is there.
  await expect.poll(() => figures.evaluateAll((all) => all.map((data) => (data as HTMLDataElement).value))).toEqual(want)
  await accessible(page)
  await page.screenshot({ path: 'test-results/booked.png', fullPage: true })
})

test('why this share: picked in a list, in words, and the sums agree with REST', async ({ page, request }) => {
  const seen = watch(page, new URL(base).origin)
  await page.goto(base)
  await ready(page)
  const booked = (member: string) => request.get(`${base}/v1/history/members/${member}/booked?toUnixMs=${Date.UTC(2100, 0)}&fromUnixMs=0&by=BOOKED_BY_INTERVAL`)
  const settled = async () => ((await (await booked('ben')).json()) as { energies: { startUnixMs: string }[] }).energies
  await expect.poll(async () => (await settled()).length).toBeGreaterThan(1)
  const start = (await settled())[0]!.startUnixMs
  await page.getByRole('link', { name: 'Booked' }).click()
  await page.getByLabel('Of').selectOption('ben')
  const why = page.getByRole('region', { name: 'Why this share' })
  await why.getByLabel('Interval').selectOption(start)
  const told = why.locator(`article[data-start="${start}"]`)
  await expect(told).toContainText('Ben Okafor needed')
  await expect(told).toContainText('Your browser has done these sums again')

  const said = (await (await request.get(`${base}/v1/shares/ben/why?at_unix_ms=${start}`)).json()) as { pools: { sum: string; rounds: { says: string; arithmetic: string }[] }[] }
  const [pool] = said.pools
  await expect(told).toContainText(pool!.sum)
  await expect(told).toContainText(pool!.rounds[0]!.says)
  await told.getByText('The figures').first().click()
  await expect(told.getByText(pool!.rounds[0]!.arithmetic, { exact: true }).first()).toBeVisible()

  // It stands in the address, so it can be kept; and who came by a link is at its heading.
  expect(new URL(page.url()).hash).toBe(`#/energy/ben/${start}`)
  await page.reload()
  await expect(told).toBeVisible()
  await expect(why.getByRole('heading', { name: 'Why this share' })).toBeFocused()
  await page.keyboard.press('Tab')
  await expect(why.getByLabel('Day')).toBeFocused()
  await why.getByRole('button', { name: 'Later' }).click()
  await expect(why.locator('article')).toHaveAttribute('data-start', (await settled())[1]!.startUnixMs)
  await why.getByRole('button', { name: 'Earlier' }).click()
  await expect(told).toBeVisible()
  await why.getByRole('button', { name: 'Earlier' }).click()
  await expect(page.getByRole('alert')).toContainText('Nothing is settled for this time')
  await page.goto(`${base}/#/energy/ben/${start}`)
  await expect(told).toBeVisible()
  for (const { width, height, name } of sizes) {
    await page.setViewportSize({ width, height })
    await why.locator('details').evaluateAll((all) => all.forEach((one) => ((one as HTMLDetailsElement).open = true)))
    await accessible(page)
    await fits(page)
    await page.screenshot({ path: `test-results/why-${name}.png`, fullPage: true })
  }
  expect(seen.strangers).toEqual([]) // and the one refusal that was provoked
  expect(seen.mishaps.filter((mishap) => !mishap.includes('404'))).toEqual([])
})

test('what if: a template is tried, and what comes out is what REST says', async ({ page, request }) => {
  const seen = watch(page, new URL(base).origin)
  await page.goto(base)
  await ready(page)
  const booked = () => request.get(`${base}/v1/history/members/ben/booked?toUnixMs=${Date.UTC(2100, 0)}&fromUnixMs=0&by=BOOKED_BY_INTERVAL`)
  await expect.poll(async () => ((await (await booked()).json()) as { energies: unknown[] }).energies.length).toBeGreaterThan(0)
  await page.getByRole('link', { name: 'What if' }).click()
  await page.getByLabel('Begin with').selectOption({ label: 'Proportional' })
  await expect(page.getByLabel('The charter’s text')).toHaveValue(/name: Proportional/)
  await page.getByLabel('A kWh from the grid costs').fill('30 ct/kWh EUR')
  await page.getByRole('button', { name: 'Try it' }).click()
  const one = page.locator('section:has(> #trial)')
  await expect(one).toHaveAttribute('data-state', 'done')
  await expect(one.getByRole('heading', { level: 2 })).toHaveText('From “Equal shares” to “Proportional”')

  const id = new URL(page.url()).hash.split('/').at(-1)!
  const { result } = (await (await request.get(`${base}/v1/what-ifs/${id}`)).json()) as { result: { resultHash: string; members: { memberId: string; before: Record<string, string>; after: Record<string, string> }[] } }
  await expect(one.locator('.result')).toHaveAttribute('data-result', result.resultHash)
  await one.getByText('Member by member').click()
  for (const { memberId, before, after } of result.members) {
    const shown = await one.locator(`[data-change="${memberId}"] data`).evaluateAll((all) => all.map((data) => Number((data as HTMLDataElement).value)))
    const [demand, had, gets, paid, pays] = [after.demandMilliwattHours, before.receivedMilliwattHours, after.receivedMilliwattHours, before.costMinor, after.costMinor].map(Number)
    expect(shown).toEqual([demand, had, gets, gets! - had!, paid, pays, pays! - paid!])
  }
  await page.reload()
  await expect(one).toHaveAttribute('data-state', 'done')
  await one.locator('details').evaluateAll((all) => all.forEach((each) => ((each as HTMLDetailsElement).open = true)))
  for (const { width, height, name } of sizes) {
    await page.setViewportSize({ width, height })
    await accessible(page)
    await fits(page)
    await page.screenshot({ path: `test-results/what-if-${name}.png`, fullPage: true })
  }
  await page.getByRole('link', { name: 'Try another charter' }).click()
  await expect(page.getByRole('region', { name: 'Tried lately' }).getByRole('link').first()).toBeVisible()
  expect(seen).toEqual({ mishaps: [], strangers: [] })
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
