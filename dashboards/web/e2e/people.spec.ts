// SPDX-License-Identifier: AGPL-3.0-or-later

// Accounts on a running coordinator whose community has none yet: its address
// comes in ALLMENDE_STREET, its setup link in ALLMENDE_SETUP. Without them this
// file is skipped, and says so.
import { expect, test, type Browser, type Page } from '@playwright/test'
import { accessible, fits, schemes, sizes, watch } from './watch'

const base = process.env.ALLMENDE_STREET ?? ''
const setup = process.env.ALLMENDE_SETUP ?? ''
test.skip(base === '' || setup === '', 'ALLMENDE_STREET and ALLMENDE_SETUP name no coordinator without accounts')
test.describe.configure({ mode: 'serial', timeout: 600_000 })

const steward = { name: 'Ada <img src=x onerror=alert(1)>', login: 'ada', password: 'a lane with four sunny roofs' }
const heading = (page: Page, name: string) => page.getByRole('heading', { name, level: 1 })

async function pictures(page: Page, name: string): Promise<void> {
  for (const scheme of schemes) {
    for (const size of sizes) {
      await page.emulateMedia({ colorScheme: scheme })
      await page.setViewportSize(size)
      await accessible(page)
      await fits(page)
      await page.screenshot({ path: `test-results/${name}-${size.name}-${scheme}.png`, fullPage: true })
    }
  }
}

async function signIn(page: Page): Promise<void> {
  await page.goto(`${base}/#/sign-in`)
  await page.getByLabel('Sign-in name').fill(steward.login)
  await page.getByLabel('Password').fill(steward.password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.locator('main[data-place=now]').waitFor()
}

/** A page of somebody with a device that holds passkeys. */
async function withPasskeys(browser: Browser): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  })
  return page
}

let invitation = ''
let code = ''

test('the setup link makes the first account, once', async ({ page }) => {
  const seen = watch(page, new URL(base).origin)
  await page.goto(base)
  await expect(heading(page, 'Sign in')).toBeVisible()
  await expect(page.getByText('Nobody has an account here yet')).toBeVisible()
  await pictures(page, 'sign-in')

  let asked = 0
  page.on('request', (request) => (asked += request.url().endsWith('/v1/link') ? 1 : 0))
  await page.goto(setup)
  await expect(heading(page, 'Set up your community')).toBeVisible()
  await pictures(page, 'setup')
  expect(asked).toBe(1) // it does not ask again and again
  await page.getByLabel('Your name').fill(steward.name)
  await page.getByLabel('Sign-in name').fill(steward.login)
  await page.getByLabel('Password', { exact: true }).fill(steward.password)
  await page.getByLabel('The same once more').fill('something else')
  await page.getByRole('button', { name: 'Make my account' }).click()
  await expect(page.getByRole('alert')).toContainText('differ')
  await page.getByLabel('The same once more').fill(steward.password)
  await page.getByRole('button', { name: 'Make my account' }).click()
  await expect(page.getByRole('region', { name: 'Your recovery codes' }).getByRole('listitem')).toHaveCount(10)
  code = (await page.getByRole('region', { name: 'Your recovery codes' }).getByRole('listitem').first().textContent())!.trim()
  await pictures(page, 'recovery-codes')
  await page.getByRole('button', { name: 'I have kept it' }).click()
  await page.locator('main[data-place=now]').waitFor()
  expect(page.url()).not.toContain(setup.split('/').at(-1)) // the secret has gone from the address
  await expect(page.getByRole('link', { name: steward.name })).toBeVisible() // as text, not as markup
  expect(seen).toEqual({ mishaps: [], strangers: [] })

  const stranger = await page.context().browser()!.newPage()
  await stranger.goto(setup)
  await expect(stranger.getByText('works once')).toBeVisible()
  await stranger.close()
})

test('a steward invites; who is invited signs in with a passkey and sees no more than hers', async ({ page, browser }) => {
  await signIn(page)
  await page.getByRole('link', { name: 'People', exact: true }).click()
  await expect(heading(page, 'People')).toBeVisible()
  await page.getByLabel('Sees the curves of').last().selectOption({ index: 1 })
  await page.getByLabel('For whom').fill('Ben from the corner')
  await page.getByRole('button', { name: 'Make an invitation' }).click()
  invitation = (await page.getByRole('region', { name: 'The invitation' }).getByRole('listitem').textContent())!.trim()
  expect(invitation).toContain('/#/link/')
  await page.getByRole('button', { name: 'I have kept it' }).click()
  await expect(page.getByText('Ben from the corner')).toBeVisible()
  await pictures(page, 'people')

  const ben = await withPasskeys(browser)
  await ben.goto(invitation)
  await ben.getByLabel('Your name').fill('Ben Okafor')
  await ben.getByLabel('Sign-in name').fill('ben')
  await ben.getByLabel('with a passkey').check()
  await ben.getByRole('button', { name: 'Make my account' }).click()
  await ben.getByRole('button', { name: 'I have kept it' }).click()
  await expect(heading(ben, 'Ben Okafor')).toBeVisible()
  await expect(ben.getByText('first passkey')).toBeVisible()
  await pictures(ben, 'account')

  // His bid and offer, which count from the next interval on.
  const bid = ben.getByRole('form', { name: 'Your bid' })
  await expect(bid).toContainText('You bid for nothing.')
  await bid.getByLabel('The most that you pay, ct/kWh EUR').fill('31')
  await bid.getByRole('button', { name: 'Bid', exact: true }).click()
  await expect(bid.getByRole('alert')).toContainText('from 5 ct/kWh EUR to 30 ct/kWh EUR')
  await bid.getByLabel('The most that you pay, ct/kWh EUR').fill('18,5')
  await bid.getByLabel('At most, kWh in each interval').fill('0.5')
  await bid.getByRole('button', { name: 'Bid', exact: true }).click()
  await expect(ben.getByRole('status').filter({ hasText: 'Your bid is entered.' })).toBeVisible()
  await expect(bid).toContainText('You bid up to 18.5 ct/kWh EUR for at most 0.5')
  const offer = ben.getByRole('form', { name: 'Your offer' })
  await offer.getByLabel('The least that you take, ct/kWh EUR').fill('8')
  await offer.getByRole('button', { name: 'Offer', exact: true }).click()
  await expect(offer).toContainText('You offer all that you have left for 8 ct/kWh EUR or more.')
  await pictures(ben, 'orders')
  await bid.getByRole('button', { name: 'Withdraw the bid' }).click()
  // What stands in the interval that runs by then stands until it ends.
  await expect(bid.getByRole('button', { name: 'Withdraw the bid' })).toHaveCount(0)
  await expect(bid).toContainText('You bid for nothing.')

  await ben.getByRole('button', { name: 'Sign out', exact: true }).click()
  await ben.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await ben.locator('main[data-place=now]').waitFor()

  await expect(ben.getByRole('link', { name: 'People', exact: true })).toHaveCount(0)
  await ben.goto(`${base}/#/people`)
  await expect(heading(ben, 'Not for your roles')).toBeVisible()

  // Her own energy, of which nothing is settled yet; and nobody else's.
  await ben.goto(`${base}/#/energy`)
  await expect(ben.getByRole('region', { name: 'Why this share' })).toContainText('Nothing is settled for this time yet')
  await expect(ben.getByRole('alert')).toHaveCount(0)
  await pictures(ben, 'nothing-booked')
  await ben.goto(`${base}/#/energy/somebody-else/1`)
  await expect(ben.getByRole('alert')).toContainText('not yours to see')
  await expect(ben.getByRole('region', { name: 'Why this share' })).toHaveCount(0)
  await ben.context().close()
})

test('a wrong password is refused, a recovery code helps once', async ({ page }) => {
  await page.goto(`${base}/#/sign-in`)
  await page.getByLabel('Sign-in name').fill(steward.login)
  await page.getByLabel('Password').fill('not the one')
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await expect(page.getByRole('alert').locator('.fault')).toBeVisible()
  await expect(heading(page, 'Sign in')).toBeVisible()

  const recover = async () => {
    await page.goto(`${base}/#/sign-in`)
    await page.getByRole('button', { name: 'I lost my password' }).click()
    await page.getByLabel('Sign-in name').fill(steward.login)
    await page.getByLabel('Recovery code').fill(code)
    await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  }
  await recover()
  await expect(heading(page, steward.name)).toBeVisible()
  await expect(page.getByText('9 of them are left')).toBeVisible()
  await page.getByRole('button', { name: 'Sign out', exact: true }).click()
  await recover()
  await expect(page.getByRole('alert').locator('.fault')).toBeVisible()
})

test('a token is shown once, and revoked', async ({ page }) => {
  await signIn(page)
  await page.getByRole('link', { name: 'Tokens' }).click()
  await page.getByLabel('For what').fill('Screen in the hall')
  await page.getByRole('checkbox', { name: 'live' }).check()
  await page.getByRole('button', { name: 'Make a token' }).click()
  const secret = (await page.getByRole('region', { name: 'The new token' }).getByRole('listitem').textContent())!.trim()
  const asked = (token: string) => page.request.get(`${base}/v1/live`, { headers: { Authorization: `Bearer ${token}`, Cookie: '' } })
  expect((await asked(secret)).status()).toBe(200)
  await page.getByRole('button', { name: 'I have kept it' }).click()
  await expect(page.getByText(secret)).toHaveCount(0)
  await pictures(page, 'tokens')
  await page.getByRole('button', { name: 'Revoke Screen in the hall' }).click()
  await expect(page.getByText('revoked')).toBeVisible()
  expect((await asked(secret)).status()).toBe(401)
})

test('the audit log tells all that, and the policy is there to read', async ({ page }) => {
  await signIn(page)
  await page.getByRole('link', { name: 'Audit log' }).click()
  await expect(page.getByRole('list', { name: 'The entries' }).getByText('Create invitation').first()).toBeVisible()
  await expect(page.getByText('denied').first()).toBeVisible()
  await pictures(page, 'audit')
  await page.getByRole('link', { name: 'Who may what' }).click()
  await page.getByText('steward', { exact: true }).first().click()
  await expect(page.locator('details[open]').getByText('changes something').first()).toBeVisible()
  await pictures(page, 'access')
})
