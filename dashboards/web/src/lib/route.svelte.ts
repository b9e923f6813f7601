// SPDX-License-Identifier: AGPL-3.0-or-later

// Where the page is, in the part of the address behind '#': it never reaches a
// server or its log, which is why links that carry a secret use it as well.

export const places = ['now', 'energy', 'what-if', 'people', 'tokens', 'audit', 'access', 'account', 'sign-in'] as const
export type Place = (typeof places)[number]

export interface Route {
  place: Place | 'link'
  /** Of a setup link or an invitation. */
  secret: string
  /** What of the place: whose energy and when, or which what-if. */
  of: string[]
}

/** '#/people' is a place, '#/energy/anna' a part of one, '#/link/SECRET' a link; anything else is the present. */
export function parse(hash: string): Route {
  const [, first = '', ...rest] = hash.replace(/^#/, '').split('/')
  if (first === 'link' && rest[0]) return { place: 'link', secret: rest[0], of: [] }
  const place = places.find((name) => name === first)
  return { place: place ?? 'now', secret: '', of: place ? rest.filter(Boolean).map(decoded) : [] }
}

/** A part of an address that somebody may have cut off in the middle of a letter. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** The address of a place, or of a part of it. */
export const address = (place: Place, ...of: (string | number)[]): string => `#/${[place, ...of.map((part) => encodeURIComponent(part))].join('/')}`

export class Router {
  at = $state.raw<Route>(parse(location.hash))

  constructor() {
    addEventListener('hashchange', () => (this.at = parse(location.hash)))
  }

  go(place: Place, ...of: (string | number)[]): void {
    // A secret is gone from the address and from the history once it was used.
    if (this.at.place === 'link') history.replaceState(null, '', address(place, ...of))
    else location.hash = address(place, ...of)
    this.at = parse(location.hash)
  }

  /** Goes on to another part of the same place; the way back leads past it. */
  turn(place: Place, ...of: (string | number)[]): void {
    history.replaceState(null, '', address(place, ...of))
    this.at = parse(location.hash)
  }
}
