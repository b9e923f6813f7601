// SPDX-License-Identifier: AGPL-3.0-or-later

// A double of the coordinator for work on the page (`npm run dev`) and for
// tests of what a healthy demo never shows: a night, ill gateways, an empty
// start, a broken line. Its figures obey the same balance as the real ones.
//
//   node dev/fake.mjs [noon|night|ill|empty] [port]
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Trials } from './trials.mjs'

const dist = new URL('../../dist/', import.meta.url)
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.txt': 'text/plain', '.woff2': 'font/woff2' }
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
const names = ['Familie Arslan', 'Birgit Nowak', 'Chmielewski & Sohn', 'Dora Łukasik', 'Elif Demir', 'Kita Feldweg', 'Gustav Ohlsen', 'Haus der Vereine', 'Ines Petersen', 'Jonas Weber', 'Katharina Vogel', 'Bäckerei Lindt']
const quarter = 900_000
const start = Date.UTC(2026, 5, 20, 10, 7)
const canonical = '{"charter":"allmende/1","interval":"15m","name":"Equal shares","rules_version":1}'

const wave = (seed, t) => Math.sin(t / 97 + seed * 2.3) * 0.5 + Math.sin(t / 31 + seed * 5.1) * 0.3
const text = (n) => String(Math.round(n))

/** One moment: homes with roofs share equally, batteries take or give the rest, the grid closes the balance. */
function moment(scenario, tick) {
  const at = start + tick * 60_000 + (scenario === 'night' ? 13 * 3_600_000 : 0)
  const sun = scenario === 'night' ? 0 : 0.75 + 0.25 * wave(0.4, tick)
  const homes = names.map((_, i) => {
    const consumption = Math.round(1e6 * Math.max(0.12, (i === 5 ? 2.4 : 0.9) * (1 + wave(i, tick))))
    const production = i % 3 === 1 ? 0 : Math.round(1e6 * sun * (2.2 + (i % 4) * 0.9))
    const own = Math.min(production, consumption)
    return { consumption, production, own, need: consumption - own, surplus: production - own }
  })
  const sum = (key) => homes.reduce((total, home) => total + home[key], 0)
  const [need, surplus] = [sum('need'), sum('surplus')]
  const shared = Math.min(need, surplus)
  const charge = Math.min(9e6, surplus - shared)
  const discharge = Math.min(6e6, need - shared)
  const members = homes.map((home, i) => {
    const share = need > 0 ? Math.floor((home.need * (shared + discharge)) / need) : 0
    return {
      memberId: `home-${i + 1}`, productionMilliwatts: text(home.production), consumptionMilliwatts: text(home.consumption),
      importMilliwatts: text(home.need), exportMilliwatts: text(home.surplus), shareMilliwatts: text(share),
      shareIntervalMilliwattHours: text((share * (tick % 15)) / 60), shareTodayMilliwattHours: text(2.1e6 + (share * tick) / 60),
      consumptionTodayMilliwattHours: text(4.4e6 + (home.consumption * tick) / 60), quality: scenario === 'ill' && i === 3 ? 'QUALITY_STALE' : 'QUALITY_GOOD',
    }
  })
  const power = (discharge - charge) / 3
  const batteries = [1, 4, 7].map((i) => ({
    assetId: `battery-${i}`, powerMilliwatts: text(power), socPermille: 300 + i * 70, setpointMilliwatts: text(power),
    setpointInForce: !(scenario === 'ill' && i === 7), quality: 'QUALITY_GOOD',
  }))
  const ill = scenario === 'ill'
  const gateway = (n, extra) => ({
    gatewayId: `gw-${n}`, name: `Gateway ${n}`, connected: true, enrolled: true, lastSeenUnixMs: text(at), clockOffsetMs: text(n * 3 - 5), clockKnown: true,
    spoolPending: '0', devicesOnline: 9, devicesTotal: 9, problem: '', ...extra,
  })
  return {
    sequence: text(tick + 1), atUnixMs: text(at),
    flow: {
      productionMilliwatts: text(sum('production')), ownUseMilliwatts: text(sum('own')), sharedMilliwatts: text(shared), sharedFromStorageMilliwatts: text(discharge),
      chargeMilliwatts: text(charge), dischargeMilliwatts: text(discharge), gridImportMilliwatts: text(need - shared - discharge),
      gridExportMilliwatts: text(surplus - shared - charge), consumptionMilliwatts: text(sum('consumption')), quality: ill ? 'QUALITY_STALE' : 'QUALITY_GOOD', missingAssets: ill ? 2 : 0,
    },
    members, batteries,
    gateways: [
      gateway(1, {}),
      gateway(2, ill ? { devicesOnline: 7, problem: 'The spool on the disk is full. Make room on the gateway; readings are kept in memory until then.', spoolPending: '1240' } : {}),
      gateway(3, ill ? { connected: false, devicesOnline: 0, clockKnown: false } : {}),
    ],
    speed: 60, intervalStartUnixMs: text(at - (at % quarter)), intervalEndUnixMs: text(at - (at % quarter) + quarter),
    settledUntilUnixMs: text(at - (at % quarter) - quarter), ledgerSize: text(120 + Math.floor(tick / 15)),
  }
}

function intervals(live) {
  const newest = Number(live.settledUntilUnixMs)
  return Array.from({ length: 96 }, (_, i) => {
    const startMs = newest - (i + 1) * quarter
    const hour = ((startMs / 3_600_000) % 24) + 2
    const production = 6e6 * Math.max(0, Math.sin(((hour - 5) / 15) * Math.PI))
    const consumption = 2.6e6 * (1 + 0.5 * Math.sin(hour / 2.2) + 0.25 * Math.sin(hour * 3))
    const own = Math.min(production * 0.55, consumption * 0.4)
    const shared = Math.min(production - own, consumption - own)
    const stored = Math.min(consumption - own - shared, 0.8e6)
    return {
      leafIndex: text(120 - i), startUnixMs: text(startMs), lengthMs: text(quarter), revision: i === 3 ? 1 : 0, complete: i !== 1, quality: i === 1 ? 'QUALITY_ESTIMATED' : 'QUALITY_GOOD',
      charterHash: '', pools: [{
        poolId: 'grid', productionMilliwattHours: text(production), ownUseMilliwattHours: text(own), consumptionMilliwattHours: text(consumption), sharedMilliwattHours: text(shared),
        fromStorageMilliwattHours: text(stored), gridImportMilliwattHours: text(consumption - own - shared - stored), gridExportMilliwattHours: '0',
      }],
    }
  })
}

/** A visitor of a simulated world: she sees everything and changes nothing. */
const visitor = ['community.read', 'roll.read', 'charter.read', 'live.read', 'curves.read', 'intervals.read', 'checkpoint.read', 'leaves.read', 'gateways.read', 'what-ifs.run']
const permissions = visitor.map((name) => ({ name, means: `may ${name.split('.')[1]} the ${name.split('.')[0]}`, changes: false }))

function answers(scenario, live) {
  const assets = [1, 4, 7].map((i) => ({ id: `battery-${i}`, kind: 'battery', siteId: `site-${i}`, ownerId: i === 7 ? '' : `home-${i}`, gatewayId: 'gw-1', capacityMilliwattHours: '9600000' }))
  return {
    '/v1/me': { kind: 'visitor', roles: ['visitor'], permissions: visitor },
    '/v1/policy': { permissions, roles: [{ name: 'visitor', means: 'anybody at all, in a simulated world', permissions: visitor }], scopes: [], minAggregate: 5 },
    '/v1/community': { id: 'fieldway', name: 'Am Feldweg', timezone: 'Europe/Berlin', members: names.map((name, i) => ({ id: `home-${i + 1}`, name, groups: [] })), connections: [], sites: [], assets, simulated: true },
    '/v1/charter': {
      hash: createHash('sha256').update(canonical).digest('hex'), name: 'Equal shares', rulesVersion: 1, effectiveUnixMs: text(start - 86_400_000), canonicalJson: canonical,
      explanation: ['Energy is shared in intervals of 15 minutes.', 'Round 1, “everyone”: all members get the same, never more than they need; what one does not need goes to the others.', 'A site that feeds in during an interval may receive in the same interval.', 'The batteries charge from what is left over and give it back when it is needed.', 'What is shared costs 12.345 ct/kWh.'],
    },
    '/v1/gateways': {
      gateways: live.gateways.map((health, g) => ({
        health, software: 'allmende 0.1.0', devices: Array.from({ length: 9 }, (_, i) => ({
          assetId: ['meter', 'inverter', 'battery'][i % 3] + `-${g * 3 + Math.floor(i / 3) + 1}`, url: 'tcp://127.0.0.1:1502', unitId: i + 1,
          online: i < health.devicesOnline, manufacturer: 'Allmende', model: 'Simulated', error: i < health.devicesOnline ? '' : 'no answer within 1 s: check power and cable',
        })),
      })),
    },
    '/v1/intervals': { intervals: scenario === 'empty' ? [] : intervals(live) },
    '/v1/ledger/checkpoint': { size: live.ledgerSize, rootHash: createHash('sha256').update(live.ledgerSize).digest('base64'), note: '', verifierKey: '' },
    '/v1/live': live,
  }
}

/** Starts the double; `port` 0 takes a free one. `fail(true)` makes it refuse everything under /v1. */
export async function startFake(scenario = 'noon', port = 0, period = 1000) {
  let tick = 30
  let failing = false
  const now = () => {
    const live = moment(scenario, tick)
    return scenario === 'empty' ? { ...live, members: [], batteries: [], gateways: [], settledUntilUnixMs: '0', ledgerSize: '1', flow: {} } : live
  }
  const streams = new Set()
  const trials = new Trials()
  const send = (response) => response.write(`id: ${tick + 1}\ndata: ${JSON.stringify(now())}\n\n`)
  const timer = setInterval(() => {
    tick++
    for (const response of streams) send(response)
  }, period)

  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://fake')
    if (pathname.startsWith('/v1/') && failing) return response.writeHead(503).end('{"message":"the double fails on purpose"}')
    if (pathname === '/v1/live/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
      streams.add(response)
      response.on('close', () => streams.delete(response))
      return send(response)
    }
    const tried = trials.answer(request.method, pathname, names)
    if (tried) {
      const plain = typeof tried[1] === 'string'
      return response.writeHead(tried[0], { 'Content-Type': plain ? 'text/plain' : 'application/json' }).end(plain ? tried[1] : JSON.stringify(tried[1]))
    }
    const answer = answers(scenario, now())[pathname]
    if (answer) return response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer))
    const file = pathname === '/' ? 'index.html' : pathname.slice(1)
    try {
      const body = await readFile(new URL(file, dist))
      response.writeHead(200, { 'Content-Type': types[extname(file)], 'Content-Security-Policy': policy }).end(body)
    } catch {
      response.writeHead(404).end('nothing here')
    }
  })
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    fail(on) {
      failing = on
      if (on) for (const response of streams) response.destroy()
    },
    async stop() {
      clearInterval(timer)
      for (const response of streams) response.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fake = await startFake(process.argv[2], Number(process.argv[3] ?? 8099))
  console.log(`The double of the coordinator is at ${fake.url}; Ctrl-C stops it.`)
}
