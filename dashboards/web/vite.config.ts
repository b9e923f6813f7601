// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from 'node:fs'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, type Plugin } from 'vite'

// What ends up in the built page and is not ours, with the licence that has to go with it.
const bundled = ['svelte/LICENSE.md', 'uplot/LICENSE', '@fontsource-variable/hanken-grotesk/LICENSE']

function licences(): Plugin {
  return {
    name: 'licences',
    apply: 'build',
    generateBundle() {
      const parts = bundled.map((file) => {
        const text = readFileSync(new URL(`./node_modules/${file}`, import.meta.url), 'utf8')
        return `${file.slice(0, file.lastIndexOf('/'))}\n\n${text.replace(/\r/g, '').trim()}\n`
      })
      const head = 'The page of Allmende is AGPL-3.0-or-later. It also holds the following works.\n'
      this.emitFile({ type: 'asset', fileName: 'licences.txt', source: [head, ...parts].join('\n----\n\n') })
    },
  }
}

export default defineConfig({
  plugins: [svelte(), licences()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      output: {
        // Names without hashes: a change of the page is a change of these files, and the server sends ETags.
        entryFileNames: 'app.js',
        chunkFileNames: '[name].js',
        assetFileNames: (asset) => (asset.names[0]?.endsWith('.woff2') ? 'fonts/[name][extname]' : 'app[extname]'),
      },
    },
  },
  server: {
    // A running coordinator, or the small double of one: node dev/fake.mjs.
    proxy: Object.fromEntries(['/v1', '/charters'].map((path) => [path, process.env.ALLMENDE_URL ?? 'http://127.0.0.1:8099'])),
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node', testTimeout: 60_000, hookTimeout: 60_000 },
} as import('vite').UserConfig)
