// SPDX-License-Identifier: AGPL-3.0-or-later
import { defineConfig } from '@playwright/test'

// Debian's Chromium by its path; nothing is downloaded. Pictures go to test-results/.
const off = ['gpu', 'quic', 'background-networking', 'component-update', 'sync'].map((name) => `--disable-${name}`)

export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results/run',
  // Patience, so that a busy machine makes a test slow and not red.
  timeout: 300_000,
  expect: { timeout: 60_000 },
  workers: 1,
  retries: 0,
  forbidOnly: true,
  reporter: 'list',
  use: {
    browserName: 'chromium',
    locale: 'en-GB',
    launchOptions: {
      timeout: 180_000,
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--no-first-run', ...off],
    },
  },
})
