// SPDX-License-Identifier: AGPL-3.0-or-later

// The states that a healthy demo never shows, against the double in dev/.
import { expect, test } from '@playwright/test'
import { startFake, type Fake, type Scenario } from '../dev/fake.mjs'
import { accessible, fits, ready, sizes, watch } from './watch'

let fake: Fake
const start = async (scenario: Scenario) => (fake = await startFake(scenario, 0, 300))
test.afterEach(() => fake.stop())

const looks = [
  { scenario: 'night', size: sizes[0], scheme: 'dark' },
  { scenario: 'night', size: sizes[1], scheme: 'light' },
  { scenario: 'ill', size: sizes[0], scheme: 'light' },
  { scenario: 'ill', size: sizes[1], scheme: 'dark' },
] as const

for (const { scenario, size, scheme } of looks) {
  test(`${scenario}, ${size.name}, ${scheme}, all unfolded: axe finds nothing, everything fits`, async ({ page }) => {
    const { url } = await start(scenario)
    const seen = watch(page, url)
    await page.emulateMedia({ colorScheme: scheme })
    await page.setViewportSize(size)
    await page.goto(url)
    await ready(page)
    await page.locator('.uplot').waitFor()
    for (const summary of await page.locator('summary').all()) await summary.click()
    await accessible(page)
    await fits(page)
    await page.screenshot({ path: `test-results/${scenario}-${size.name}-${scheme}.png`, fullPage: true })
    expect(seen).toEqual({ mishaps: [], strangers: [] })
  })
}

test('an empty community says what is missing', async ({ page }) => {
  const { url } = await start('empty')
  await page.goto(url)
  await page.locator('main[data-link=live]').waitFor()
  await expect(page.getByText('No member has a live value yet.')).toBeVisible()
  await expect(page.getByText('No interval is settled yet.')).toBeVisible()
  await expect(page.getByText('No gateway belongs to this community yet.')).toBeVisible()
  await accessible(page)
})

test('a broken line is said, the last figures stay, and it heals', async ({ page }) => {
  const { url } = await start('noon')
  await page.goto(url)
  await ready(page)
  fake.fail(true)
  await expect(page.getByRole('status').first()).toContainText('figures')
  await expect(page.locator('[data-member]')).toHaveCount(12)
  await accessible(page)
  fake.fail(false)
  await expect(page.locator('main')).toHaveAttribute('data-link', 'live')
})

test('nothing answers from the start: the page says what to look at', async ({ page }) => {
  const { url } = await start('noon')
  await page.route('**/v1/**', (route) => route.abort())
  await page.goto(url)
  await expect(page.getByText('Check that allmende serve or allmende demo is running.')).toBeVisible()
})

test('the keyboard alone: skip link, pause, theme, chart, table', async ({ page }) => {
  const { url } = await start('noon')
  await page.goto(url)
  await ready(page)
  await page.locator('.uplot').waitFor()

  await page.keyboard.press('Tab')
  await expect(page.getByRole('link', { name: 'Skip to the figures' })).toBeFocused()
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await expect(page.getByRole('button', { name: 'Pause' })).toHaveAttribute('aria-pressed', 'true')
  const held = await page.locator('main').getAttribute('data-sequence')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light')
  await page.keyboard.press('Enter')
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark')

  const slider = page.getByRole('slider')
  await slider.focus()
  await page.keyboard.press('Home')
  await expect(slider).toHaveAttribute('aria-valuenow', '0')
  await page.keyboard.press('ArrowRight')
  await expect(slider).toHaveAttribute('aria-valuenow', '1')
  await expect(slider).toHaveAttribute('aria-valuetext', /homes use .*kW, roofs yield .*kW/)
  expect(await page.locator('main').getAttribute('data-sequence')).toBe(held)

  await page.getByRole('button', { name: '24 hours' }).click()
  await page.getByText('The chart as a table').click()
  await expect(page.getByRole('region', { name: 'The chart as a table' }).getByRole('row')).toHaveCount(97)

  await page.reload()
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark') // the choice is kept
})

test('reduced motion: nothing drifts', async ({ page }) => {
  const { url } = await start('noon')
  await page.emulateMedia({ reducedMotion: 'reduce' })
  await page.goto(url)
  await ready(page)
  await page.locator('.seeds').first().waitFor({ state: 'attached' })
  const names = await page.locator('.seeds').evaluateAll((paths) => paths.map((path) => getComputedStyle(path).animationName))
  expect(names.length).toBeGreaterThan(0)
  expect(new Set(names)).toEqual(new Set(['none']))
})

const tries = [
  { id: 'waiting', says: 'waits for its turn', state: 'waiting' },
  { id: 'running', says: 'of 2,976 intervals', state: 'running' },
  { id: 'failed', says: 'choose another, or wait until one is settled', state: 'failed' },
  { id: 'done', says: 'would receive more', state: 'done' },
  { id: 'few', says: 'The sums are left out', state: 'done' },
  { id: 'own', says: 'You would receive 0.50 kWh less: 2.50 kWh instead of 3.00 kWh.', state: 'done' },
  { id: 'gone', says: 'Try the charter again', state: undefined },
]
test('each state of a what-if says what it is: axe finds nothing, everything fits', async ({ page }) => {
  const { url } = await start('noon')
  // One who sees her own figures.
  await page.route('**/v1/me', async (route) => {
    const answer = await route.fetch()
    await route.fulfill({ response: answer, json: { ...((await answer.json()) as object), memberId: 'home-2' } })
  })
  for (const { id, says, state } of tries) {
    await page.setViewportSize(sizes[0])
    await page.goto(`${url}/#/what-if/${id}`)
    const one = page.locator('section:has(> #trial)')
    await expect(one).toContainText(says)
    if (state) await expect(one).toHaveAttribute('data-state', state)
    await one.locator('details').evaluateAll((all) => all.forEach((each) => ((each as HTMLDetailsElement).open = true)))
    await accessible(page)
    await fits(page)
    await page.screenshot({ path: `test-results/what-if-${id}-phone.png`, fullPage: true })
    await page.setViewportSize(sizes[1])
    await fits(page)
    await page.screenshot({ path: `test-results/what-if-${id}-desktop.png`, fullPage: true })
  }
})

test('a what-if goes on while the line is broken, and is cancelled', async ({ page }) => {
  const { url } = await start('noon')
  await page.goto(`${url}/#/what-if/running`)
  const one = page.locator('section:has(> #trial)')
  await expect(one.getByRole('progressbar')).toBeVisible()
  fake.fail(true)
  await expect(one.getByRole('alert')).toContainText('The double fails on purpose.')
  fake.fail(false)
  await expect(one.getByRole('alert')).toBeEmpty()
  await one.getByRole('button', { name: 'Cancel' }).click()
  await expect(one).toHaveAttribute('data-state', 'cancelled')
  await expect(one.getByRole('status')).toContainText('It was cancelled')
  await expect(one.getByRole('button', { name: 'Cancel' })).toHaveCount(0)
})

test('what is wrong with a charter leads to its line; what was written outlives a reload', async ({ page }) => {
  const { url } = await start('noon')
  await page.goto(`${url}/#/what-if`)
  const text = page.getByLabel('The charter’s text')
  await page.getByLabel('Begin with').selectOption({ label: 'Needs first' })
  await expect(text).toHaveValue(/groups: \[vulnerable\]/)
  await page.getByRole('button', { name: 'Try it' }).click()
  const wrong = page.getByRole('alert').filter({ hasText: 'for 2 reasons' })
  await expect(wrong).toContainText('give it to members, or correct its name')
  await accessible(page)
  await wrong.getByRole('button', { name: 'Line 6' }).first().click()
  await expect(text).toBeFocused()
  const chosen = await text.evaluate((area) => (area as HTMLTextAreaElement).value.slice((area as HTMLTextAreaElement).selectionStart, (area as HTMLTextAreaElement).selectionEnd))
  expect(chosen).toBe('    - groups: [vulnerable]')
  await text.fill('name: mine')
  await expect(page.getByLabel('Begin with')).toHaveValue('')
  await page.getByLabel('Over').selectOption('days')
  await page.reload()
  await expect(text).toHaveValue('name: mine')
  await expect(page.getByLabel('To, that day included')).toBeVisible()
  await page.setViewportSize(sizes[0])
  await fits(page)
  await accessible(page)
})
