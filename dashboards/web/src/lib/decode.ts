// SPDX-License-Identifier: AGPL-3.0-or-later

// From the wire to the page. Each decoder takes what JSON gave, keeps what the
// page shows, and says which field is wrong. Powers stay in milliwatts and
// energies in milliwatt-hours: up to 2^53 of them, nine terawatts, are exact.
import { counter, field, integer, list, message, quality, truth, words } from './read'
import type * as wire from './wire.gen'

export type Quality = wire.Quality

export interface Flow {
  production: number
  ownUse: number
  shared: number
  fromStorage: number
  charge: number
  discharge: number
  gridImport: number
  gridExport: number
  consumption: number
  quality: Quality
  missingAssets: number
}

export interface MemberLive {
  id: string
  production: number
  consumption: number
  share: number
  shareInterval: number
  shareToday: number
  consumptionToday: number
  quality: Quality
}

export interface BatteryLive {
  id: string
  power: number
  /** In permille, null where it is not known. */
  charge: number | null
  setpoint: number
  setpointInForce: boolean
  quality: Quality
}

export interface GatewayHealth {
  id: string
  name: string
  connected: boolean
  enrolled: boolean
  lastSeen: number
  clockOffset: number
  clockKnown: boolean
  pending: string
  devicesOnline: number
  devicesTotal: number
  problem: string
}

export interface Live {
  sequence: bigint
  at: number
  flow: Flow
  members: MemberLive[]
  batteries: BatteryLive[]
  gateways: GatewayHealth[]
  speed: number
  intervalStart: number
  intervalEnd: number
  settledUntil: number
  ledgerSize: string
  /** What is left out because too few members stand behind it: behind_meters or flow. */
  withheld: string[]
}

export interface Community {
  name: string
  timezone: string
  members: Map<string, string>
  /** Batteries by asset. */
  batteries: Map<string, { owner: string; capacity: number }>
  simulated: boolean
}

export interface Charter {
  hash: string
  name: string
  rulesVersion: number
  effective: number
  explanation: string[]
  canonical: string
}

export interface Gateway {
  id: string
  software: string
  devices: { id: string; url: string; online: boolean; label: string; error: string }[]
}

export interface Settled {
  leaf: string
  start: number
  length: number
  revision: number
  complete: boolean
  quality: Quality
  production: number
  ownUse: number
  shared: number
  fromStorage: number
  consumption: number
  gridImport: number
  gridExport: number
}

export interface Checkpoint {
  size: string
  root: string
}

export function decodeLive(value: unknown): Live {
  const m = message(value, 'live')
  const n = field<wire.Live>()
  return {
    sequence: BigInt(counter(m['sequence'], 'sequence')),
    at: n(m, 'atUnixMs'),
    flow: decodeFlow(m['flow'] ?? {}),
    members: list(m['members'], 'members', decodeMember),
    batteries: list(m['batteries'], 'batteries', decodeBattery),
    gateways: list(m['gateways'], 'gateways', decodeHealth),
    speed: typeof m['speed'] === 'number' && m['speed'] > 0 ? m['speed'] : 1,
    intervalStart: n(m, 'intervalStartUnixMs'),
    intervalEnd: n(m, 'intervalEndUnixMs'),
    settledUntil: n(m, 'settledUntilUnixMs'),
    ledgerSize: counter(m['ledgerSize'], 'ledgerSize'),
    withheld: list(m['withheld'], 'withheld', words),
  }
}

function decodeFlow(value: unknown): Flow {
  const m = message(value, 'flow')
  const n = field<wire.Flow>()
  return {
    production: n(m, 'productionMilliwatts'),
    ownUse: n(m, 'ownUseMilliwatts'),
    shared: n(m, 'sharedMilliwatts'),
    fromStorage: n(m, 'sharedFromStorageMilliwatts'),
    charge: n(m, 'chargeMilliwatts'),
    discharge: n(m, 'dischargeMilliwatts'),
    gridImport: n(m, 'gridImportMilliwatts'),
    gridExport: n(m, 'gridExportMilliwatts'),
    consumption: n(m, 'consumptionMilliwatts'),
    quality: quality(m['quality']),
    missingAssets: n(m, 'missingAssets'),
  }
}

function decodeMember(value: unknown): MemberLive {
  const m = message(value, 'member')
  const n = field<wire.MemberLive>()
  return {
    id: words(m['memberId']),
    production: n(m, 'productionMilliwatts'),
    consumption: n(m, 'consumptionMilliwatts'),
    share: n(m, 'shareMilliwatts'),
    shareInterval: n(m, 'shareIntervalMilliwattHours'),
    shareToday: n(m, 'shareTodayMilliwattHours'),
    consumptionToday: n(m, 'consumptionTodayMilliwattHours'),
    quality: quality(m['quality']),
  }
}

function decodeBattery(value: unknown): BatteryLive {
  const m = message(value, 'battery')
  const n = field<wire.BatteryLive>()
  const charge = n(m, 'socPermille')
  return {
    id: words(m['assetId']),
    power: n(m, 'powerMilliwatts'),
    charge: charge < 0 ? null : Math.min(1000, charge),
    setpoint: n(m, 'setpointMilliwatts'),
    setpointInForce: truth(m['setpointInForce']),
    quality: quality(m['quality']),
  }
}

function decodeHealth(value: unknown): GatewayHealth {
  const m = message(value, 'gateway')
  const n = field<wire.GatewayHealth>()
  return {
    id: words(m['gatewayId']),
    name: words(m['name']),
    connected: truth(m['connected']),
    enrolled: truth(m['enrolled']),
    lastSeen: n(m, 'lastSeenUnixMs'),
    clockOffset: n(m, 'clockOffsetMs'),
    clockKnown: truth(m['clockKnown']),
    pending: counter(m['spoolPending'], 'spoolPending'),
    devicesOnline: n(m, 'devicesOnline'),
    devicesTotal: n(m, 'devicesTotal'),
    problem: words(m['problem']),
  }
}

export function decodeCommunity(value: unknown): Community {
  const m = message(value, 'community')
  const members = list(m['members'], 'members', (item) => {
    const one = message(item, 'member') as wire.Member
    return [words(one.id), words(one.name) || words(one.id)] as const
  })
  const assets = list(m['assets'], 'assets', (item) => message(item, 'asset') as wire.Asset)
  const batteries = assets
    .filter((asset) => asset.kind === 'battery')
    .map((asset) => {
      const capacity = integer(asset.capacityMilliwattHours, 'capacityMilliwattHours')
      return [words(asset.id), { owner: words(asset.ownerId), capacity }] as const
    })
  return {
    name: words(m['name']) || words(m['id']),
    timezone: words(m['timezone']),
    members: new Map(members),
    batteries: new Map(batteries),
    simulated: truth(m['simulated']),
  }
}

export function decodeCharter(value: unknown): Charter {
  const m = message(value, 'charter')
  const n = field<wire.CharterInForce>()
  return {
    hash: words(m['hash']),
    name: words(m['name']),
    rulesVersion: n(m, 'rulesVersion'),
    effective: n(m, 'effectiveUnixMs'),
    explanation: list(m['explanation'], 'explanation', words),
    canonical: words(m['canonicalJson']),
  }
}

export function decodeGateways(value: unknown): Gateway[] {
  return list(message(value, 'gateways')['gateways'], 'gateways', (item) => {
    const one = message(item, 'gateway') as wire.GatewayDetail
    return {
      id: words(one.health?.gatewayId),
      software: words(one.software),
      devices: list(one.devices, 'devices', (device) => {
        const d = message(device, 'device') as wire.DeviceStatus
        const label = [words(d.manufacturer), words(d.model)].filter(Boolean).join(' ')
        const url = words(d.url) + (d.unitId ? `, unit ${d.unitId}` : '')
        return { id: words(d.assetId), url, online: truth(d.online), label, error: words(d.error) }
      }),
    }
  })
}

/** Settled intervals, oldest first; pools are added up, since the page shows the community. */
export function decodeIntervals(value: unknown): Settled[] {
  const intervals = list(message(value, 'intervals')['intervals'], 'intervals', (item) => {
    const m = message(item, 'interval')
    const pools = list(m['pools'], 'pools', (pool) => message(pool, 'pool'))
    const n = field<wire.SettledInterval>()
    const sum = (name: keyof wire.PoolTotals) => pools.reduce((total, pool) => total + integer(pool[name], name), 0)
    return {
      leaf: counter(m['leafIndex'], 'leafIndex'),
      start: n(m, 'startUnixMs'),
      length: n(m, 'lengthMs'),
      revision: n(m, 'revision'),
      complete: truth(m['complete']),
      quality: quality(m['quality']),
      production: sum('productionMilliwattHours'),
      ownUse: sum('ownUseMilliwattHours'),
      shared: sum('sharedMilliwattHours'),
      fromStorage: sum('fromStorageMilliwattHours'),
      consumption: sum('consumptionMilliwattHours'),
      gridImport: sum('gridImportMilliwattHours'),
      gridExport: sum('gridExportMilliwattHours'),
    }
  })
  return intervals.sort((a, b) => a.start - b.start)
}

export function decodeCheckpoint(value: unknown): Checkpoint {
  const m = message(value, 'checkpoint')
  return { size: counter(m['size'], 'size'), root: words(m['rootHash']) }
}

/** What a quality means to somebody who reads the figure beside it; empty for a good value. */
export function qualityWord(q: Quality): string {
  switch (q) {
    case 'QUALITY_GOOD':
      return ''
    case 'QUALITY_CORRECTED':
      return 'corrected'
    case 'QUALITY_SUBSTITUTED':
      return 'substituted'
    case 'QUALITY_ESTIMATED':
      return 'estimated'
    case 'QUALITY_SLEEPING':
      return 'device asleep'
    case 'QUALITY_STALE':
      return 'not fresh'
    case 'QUALITY_NOT_IMPLEMENTED':
      return 'not measured'
    default:
      return 'doubtful' // a quality that is younger than this page
  }
}
