// SPDX-License-Identifier: AGPL-3.0-or-later
import { mount } from 'svelte'
import './app.css'
import App from './App.svelte'
import { getJSON, World } from './lib/world.svelte'

const target = document.getElementById('app')
if (!target) throw new Error('index.html holds no element with the id "app"')

const world = new World({ open: (url) => new EventSource(url), get: getJSON })
world.start()
mount(App, { target, props: { world } })
