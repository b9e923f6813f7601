// SPDX-License-Identifier: AGPL-3.0-or-later

// Passkeys (WebAuthn level 3): the coordinator makes the question, the browser
// and the person answer it.
import { message, words } from './read'
import type { Caller } from './session.svelte'

/** Whether this browser can do it from JSON, as the coordinator speaks it. */
export const supported = (): boolean => typeof PublicKeyCredential !== 'undefined' && 'parseRequestOptionsFromJSON' in PublicKeyCredential

interface Ceremony {
  id: string
  options: unknown
}

function decodeCeremony(value: unknown): Ceremony {
  const m = message(value, 'ceremony')
  const options = message(JSON.parse(words(m['optionsJson'])), 'options')
  return { id: words(m['ceremonyId']), options: options['publicKey'] ?? options }
}

const answerOf = (credential: Credential | null): string => {
  if (!(credential instanceof PublicKeyCredential)) throw new Error('the browser gave no passkey')
  return JSON.stringify(credential.toJSON())
}

/** Signs in; the answer is the caller's Me. */
export async function signInByPasskey(call: Caller): Promise<unknown> {
  const ceremony = decodeCeremony(await call('POST', '/v1/sign-in/passkey/begin', {}))
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(ceremony.options as PublicKeyCredentialRequestOptionsJSON)
  const responseJson = answerOf(await navigator.credentials.get({ publicKey }))
  return call('POST', '/v1/sign-in/passkey', { ceremonyId: ceremony.id, responseJson })
}

/** Adds a passkey to the account that is signed in. */
export async function addPasskey(call: Caller, name: string, currentPassword: string): Promise<void> {
  const ceremony = decodeCeremony(await call('POST', '/v1/me/passkeys/begin', { currentPassword }))
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(ceremony.options as PublicKeyCredentialCreationOptionsJSON)
  const responseJson = answerOf(await navigator.credentials.create({ publicKey }))
  await call('POST', '/v1/me/passkeys', { ceremonyId: ceremony.id, responseJson, name })
}
