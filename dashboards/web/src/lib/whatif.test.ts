// SPDX-License-Identifier: AGPL-3.0-or-later
import { describe, expect, it } from 'vitest'
import { money, signed, text } from './format'
import { byGain, decodeTemplates, decodeTrial, lineOf, over, paid, pairs, problems, received } from './whatif'

const totals = (received: number, cost: number) => ({ receivedMilliwattHours: String(received), costMinor: String(cost) })

describe('a what-if from the wire', () => {
  it('is read with what may be missing', () => {
    const trial = decodeTrial({
      id: 'x', state: 'WHAT_IF_STATE_DONE', doneIntervals: '4', totalIntervals: '4', mine: true,
      result: { intervals: '4', members: [{ memberId: 'fay', before: totals(5, 300), after: totals(2, -10) }], spread: { gain: '1', leastMilliwattHours: '-3' }, withheld: ['members'] },
    })
    expect([trial.state, trial.done, trial.mine, over(trial.state)]).toEqual(['done', 4, true, true])
    const result = trial.result!
    expect([result.before, result.spread!.least, result.spread!.greatest, result.withheld]).toEqual([null, -3, null, ['members']])
    expect([received(result.members[0]!), paid(result.members[0]!)]).toEqual([-3, -310])
  })
  it('has no result while it runs, and names a wrong field', () => {
    expect(decodeTrial({ state: 'WHAT_IF_STATE_RUNNING', result: null }).result).toBe(null)
    expect(over('running') || over('waiting')).toBe(false)
    expect(() => decodeTrial({ doneIntervals: 'many' })).toThrow(/doneIntervals/)
  })
  it('puts who gains most first, and equal ones always in one order', () => {
    const one = (member: string, more: number) => ({ member, before: decoded(0), after: decoded(more), beforeLines: [], afterLines: [] })
    expect(byGain([one('b', 1), one('c', -2), one('a', 1), one('d', 7)]).map((c) => c.member)).toEqual(['d', 'a', 'b', 'c'])
  })
})
const decoded = (received: number) => ({ demand: 0, received, given: 0, gridImport: 0, gridExport: 0, cost: 0, bought: 0, sold: 0 })

describe('problems of a charter', () => {
  it('keep their line, their field and what to do', () => {
    const said = 'the proposed charter: this cannot be compared: charter: line 39, sharing.rounds[0].groups[0]: no member is in the group "x"; give it to members\nline 40, price: "a: b" is no price; write one\nline 1: not YAML that can be read: check indentation'
    expect(problems(said)).toEqual([
      { line: 39, field: 'sharing.rounds[0].groups[0]', text: 'No member is in the group "x"; give it to members.' },
      { line: 40, field: 'price', text: '"a: b" is no price; write one.' },
      { line: 1, field: '', text: 'Not YAML that can be read: check indentation.' },
    ])
  })
  it('that belong to no line are told as they are', () => {
    expect(problems('this cannot be compared: there is no settled interval')).toEqual([{ line: null, field: '', text: 'There is no settled interval.' }])
    expect(problems('retail_price: "cheap" is no price')).toEqual([{ line: null, field: '', text: 'A kWh from the grid costs: "cheap" is no price.' }])
    expect(problems('')).toEqual([])
  })
  it('are found in the text', () => {
    const text = 'one\ntwo\n\nfour'
    expect([1, 2, 3, 4, 9, 0].map((line) => text.slice(...lineOf(text, line)))).toEqual(['one', 'two', '', 'four', 'four', 'one'])
  })
})

it('reads the list of templates', () => {
  expect(decodeTemplates([{ name: 'cz-edc', title: 'Rounds', country: 'CZ' }, { name: 'x' }])).toEqual([
    { name: 'cz-edc', title: 'Rounds', country: 'CZ' },
    { name: 'x', title: 'x', country: '' },
  ])
})

it('prints money and changes', () => {
  const plain = (hundredths: number) => text(signed(money(hundredths, 'EUR'))).replace('\u00a0', ' ')
  expect([plain(120), plain(-5), plain(0), plain(123456)]).toEqual(['+1.20 EUR', '−0.05 EUR', '0.00 EUR', '+1,234.56 EUR'])
})

it('puts the lines of both charters side by side', () => {
  const line = (kind: string, amountMinor: number, level = '') => ({ kind, rule: `tariff.${kind}`, level, amountMinor: String(amountMinor), energyMilliwattHours: '1' })
  const one = decodeTrial({
    result: { members: [{ memberId: 'a', beforeLines: [line('received', 5), line('network', 1, 'same_building'), line('network', 2, 'same_building')], afterLines: [line('network', 3, 'same_building'), line('later_kind', 4)] }] },
  }).result!.members[0]!
  expect(pairs(one).map((p) => [p.word, p.before?.amount ?? null, p.after?.amount ?? null])).toEqual([
    ['Received from the others', 5, null],
    ['Charge for the grid in between, same building', 1, 3],
    ['Charge for the grid in between, same building', 2, null],
    ['later kind', null, 4],
  ])
})
