// SPDX-License-Identifier: AGPL-3.0-or-later

// What-ifs for the double of the coordinator: one for each state that a result
// can be in, and one that runs for as long as it is asked for.
const totals = (received, cost) => ({
  demandMilliwattHours: '60000000', receivedMilliwattHours: String(received), givenMilliwattHours: String(received), gridImportMilliwattHours: String(60e6 - received), gridExportMilliwattHours: '9000000', costMinor: String(cost),
})
const hash = (digit) => digit.repeat(64)
const of = (id, state, more) => ({
  id, state: `WHAT_IF_STATE_${state}`, startedUnixMs: String(Date.UTC(2026, 5, 20, 9)), endedUnixMs: '0', keptUntilUnixMs: '0', charterName: 'Needs first', charterHash: hash('a'), againstName: 'Equal shares', againstHash: hash('b'),
  fromUnixMs: '0', toUnixMs: '0', doneIntervals: '0', totalIntervals: '0', error: '', result: null, mine: true, ...more,
})

export const yaml = '# A charter of the double.\ncharter: allmende/1\nname: Needs first\nsharing:\n  rounds:\n    - groups: [vulnerable]\n'
export const list = [
  { name: 'equal-shares', title: 'Equal shares', hash: hash('b') },
  { name: 'needs-first', title: 'Needs first', hash: hash('a') },
  { name: 'cz-edc', title: 'Czechia: rounds with keys', hash: hash('c'), country: 'CZ' },
]

/** The what-ifs of one double. */
export class Trials {
  cancelled = false
  asked = 0

  get(id, names) {
    switch (id) {
      case 'waiting':
        return of(id, 'WAITING')
      case 'running':
        this.asked++
        return this.cancelled ? of(id, 'CANCELLED', { doneIntervals: '400', totalIntervals: '2976' }) : of(id, 'RUNNING', { doneIntervals: String(Math.min(2900, 400 + this.asked)), totalIntervals: '2976' })
      case 'failed':
        return of(id, 'FAILED', { error: 'this cannot be compared: there is no settled interval in this time; choose another, or wait until one is settled' })
      case 'done':
        return of(id, 'DONE', {
          result: {
            intervals: '2976', leftOut: '4', currency: 'EUR', memberCount: String(names.length), before: totals(40e6, 24031), after: totals(40e6, 24030), conserved: true, dataHash: hash('d'), resultHash: hash('e'), withheld: [],
            members: names.map((_, i) => ({ memberId: `home-${i + 1}`, before: totals(3e6 + i * 1e5, 1800 - i * 90), after: totals(3e6 + i * 1e5 + (i - 4) * 311_111, 1800 - i * 90 - (i - 4) * 12) })),
            spread: { gain: '7', lose: '4', same: '1', quarterMilliwattHours: '-300000', halfMilliwattHours: '311111', threeQuartersMilliwattHours: '1244444', leastMilliwattHours: '-1244444', greatestMilliwattHours: '2177777' },
          },
        })
      case 'few':
        return of(id, 'DONE', {
          mine: false,
          result: {
            intervals: '96', leftOut: '0', currency: 'EUR', memberCount: '12', before: null, after: null, spread: null, conserved: true, dataHash: hash('d'), resultHash: hash('e'), withheld: ['members', 'totals', 'spread'],
            members: [{ memberId: 'home-2', before: totals(3e6, 1800), after: totals(35e5, 1750) }],
          },
        })
      case 'own':
        return of(id, 'DONE', {
          result: {
            intervals: '2976', leftOut: '0', currency: 'EUR', memberCount: '12', before: totals(40e6, 0), after: totals(40e6, 0), conserved: true, dataHash: hash('d'), resultHash: hash('e'), withheld: ['members'],
            members: [{ memberId: 'home-2', before: totals(3e6, 0), after: totals(25e5, 0) }],
            spread: { gain: '7', lose: '4', same: '1', quarterMilliwattHours: '-300000', halfMilliwattHours: '311111', threeQuartersMilliwattHours: '1244444' },
          },
        })
    }
    return null
  }

  /** The answer to a request, with its status; null where it is about something else. */
  answer(method, path, names) {
    if (path === '/charters/index.json') return [200, list]
    if (path.startsWith('/charters/')) return [200, yaml]
    if (path === '/v1/what-ifs' && method === 'GET') return [200, { whatIfs: ['running', 'failed', 'done'].map((id) => ({ ...this.get(id, names), result: null })) }]
    if (path === '/v1/what-ifs') {
      return [400, { message: 'the proposed charter: this cannot be compared: charter: line 6, sharing.rounds[0].groups[0]: no member is in the group "vulnerable"; give it to members, or correct its name\nline 6, sharing.rounds[0].method: is missing; write equal, proportional or another one' }]
    }
    const [, id, act] = /^\/v1\/what-ifs\/([^/]+)(\/cancel)?$/.exec(path) ?? []
    if (id === undefined) return null
    if (act) this.cancelled = true
    const one = this.get(id, names)
    return one ? [200, one] : [404, { message: `there is no what-if "${id}", or no longer` }]
  }
}
