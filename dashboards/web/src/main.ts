// SPDX-License-Identifier: AGPL-3.0-or-later
import { mount } from 'svelte'
import './app.css'
import App from './App.svelte'
import { getJSON } from './lib/api'
import { Router } from './lib/route.svelte'
import { Session } from './lib/session.svelte'
import { World } from './lib/world.svelte'

const target = document.getElementById('app')
if (!target) throw new Error('index.html holds no element with the id "app"')

const session = new Session()
const world = new World({ open: (url) => new EventSource(url), get: getJSON, may: (permission) => session.may(permission) })
mount(App, { target, props: { world, session, router: new Router() } })
void session.start()
