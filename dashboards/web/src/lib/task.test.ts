// SPDX-License-Identifier: AGPL-3.0-or-later
import { expect, it } from 'vitest'
import { Refusal } from './api'
import { Answer } from './task.svelte'

/** An answer that the test gives when it likes. */
function later<T>() {
  let give!: (value: T) => void
  let fail!: (fault: unknown) => void
  const promise = new Promise<T>((resolve, reject) => ([give, fail] = [resolve, reject]))
  return { promise, give, fail }
}

it('lets an answer go that comes after another question', async () => {
  const answer = new Answer<string>()
  const [first, second] = [later<string>(), later<string>()]
  const asked = [answer.ask('anna', () => first.promise), answer.ask('ben', () => second.promise)]
  second.give('of ben')
  await asked[1]
  first.give('of anna')
  await asked[0]
  expect([answer.value, answer.busy, answer.trouble]).toEqual(['of ben', false, ''])
})

it('keeps what was there while it asks for the same again, and nothing of another', async () => {
  const answer = new Answer<string>()
  await answer.ask('anna', async () => 'of anna')
  const again = later<string>()
  const asked = answer.ask('anna', () => again.promise)
  expect([answer.value, answer.busy]).toEqual(['of anna', true])
  again.fail(new Error('the line is down'))
  await asked
  expect([answer.value, answer.trouble]).toEqual(['of anna', 'the line is down'])
  await answer.ask('anna', () => Promise.reject(new Refusal('no longer yours', 404)))
  expect(answer.value).toBe(null)
  await answer.ask('anna', async () => 'of anna')
  void answer.ask('ben', () => later<string>().promise)
  expect(answer.value).toBe(null)
})
