// SPDX-License-Identifier: AGPL-3.0-or-later

// Where the page is, in the part of the address behind '#': it never reaches a
// server or its log, which is why links that carry a secret use it as well.

export const places = ['now', 'energy', 'people', 'tokens', 'audit', 'access', 'account', 'sign-in'] as const
export type Place = (typeof places)[number]

export interface Route {
  place: Place | 'link'
  /** Of a setup link or an invitation. */
  secret: string
}

/** '#/people' is a place, '#/link/SECRET' a link; anything else is the present. */
export function parse(hash: string): Route {
  const [, first = '', second = ''] = hash.replace(/^#/, '').split('/')
  if (first === 'link' && second !== '') return { place: 'link', secret: second }
  const place = places.find((name) => name === first)
  return { place: place ?? 'now', secret: '' }
}

export class Router {
  at = $state.raw<Route>(parse(location.hash))

  constructor() {
    addEventListener('hashchange', () => (this.at = parse(location.hash)))
  }

  go(place: Place): void {
    // A secret is gone from the address and from the history once it was used.
    if (this.at.place === 'link') history.replaceState(null, '', `#/${place}`)
    else location.hash = `/${place}`
    this.at = parse(location.hash)
  }
}
