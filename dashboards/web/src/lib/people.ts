// SPDX-License-Identifier: AGPL-3.0-or-later

// Accounts, invitations, tokens, the audit log and the policy, from the wire to
// the page. Instants are milliseconds; null where the wire's nought means never.
import { field, list, message, truth, words } from './read'
import type * as wire from './wire.gen'

export type Kind = 'none' | 'visitor' | 'person' | 'token' | 'local'

export interface Me {
  kind: Kind
  id: string
  login: string
  name: string
  roles: string[]
  /** Whose curves are her own; empty: nobody's. */
  member: string
  permissions: Set<string>
  withoutPassword: boolean
  codesLeft: number
  setupNeeded: boolean
  passkeysPossible: boolean
}

export interface Person {
  id: string
  login: string
  name: string
  roles: string[]
  member: string
  created: number
  disabled: number | null
  signedIn: number | null
}

export interface Invitation {
  id: string
  setup: boolean
  note: string
  roles: string[]
  member: string
  created: number
  expires: number
}

export interface Link {
  setup: boolean
  community: string
  roles: string[]
  member: string
  note: string
  expires: number
}

export interface Passkey {
  id: string
  name: string
  created: number
  used: number | null
}

export interface Token {
  id: string
  name: string
  scopes: string[]
  created: number
  expires: number
  used: number | null
  revoked: number | null
}

export interface AuditEntry {
  id: number
  at: number
  kind: string
  who: string
  origin: string
  act: string
  object: string
  outcome: string
  why: string
  times: number
}

export interface Grant {
  name: string
  means: string
  permissions: string[]
}

export interface Policy {
  permissions: { name: string; means: string; changes: boolean }[]
  roles: Grant[]
  scopes: Grant[]
  minAggregate: number
}

/** Some kinds of caller that a person can never be; what they may is the operator's affair. */
export const notForPeople = new Set(['integration', 'local', 'visitor'])

const instant = (n: number): number | null => (n > 0 ? n : null)

export function decodeMe(value: unknown): Me {
  const m = message(value, 'me')
  const n = field<wire.Me>()
  return {
    kind: (words(m['kind']) || 'none') as Kind,
    id: words(m['personId']),
    login: words(m['login']),
    name: words(m['name']) || words(m['login']),
    roles: list(m['roles'], 'roles', words),
    member: words(m['memberId']),
    permissions: new Set(list(m['permissions'], 'permissions', words)),
    withoutPassword: truth(m['withoutPassword']),
    codesLeft: n(m, 'recoveryCodesLeft'),
    setupNeeded: truth(m['setupNeeded']),
    passkeysPossible: truth(m['passkeysPossible']),
  }
}

export function decodePeople(value: unknown): Person[] {
  return list(message(value, 'people')['people'], 'people', decodePerson)
}

export function decodePerson(value: unknown): Person {
  const m = message(value, 'person')
  const n = field<wire.Person>()
  return {
    id: words(m['personId']),
    login: words(m['login']),
    name: words(m['name']) || words(m['login']),
    roles: list(m['roles'], 'roles', words),
    member: words(m['memberId']),
    created: n(m, 'createdUnixMs'),
    disabled: instant(n(m, 'disabledUnixMs')),
    signedIn: instant(n(m, 'signedInUnixMs')),
  }
}

export function decodeInvitations(value: unknown): Invitation[] {
  return list(message(value, 'invitations')['invitations'], 'invitations', (item) => {
    const m = message(item, 'invitation')
    const n = field<wire.Invitation>()
    return {
      id: words(m['invitationId']),
      setup: truth(m['setup']),
      note: words(m['note']),
      roles: list(m['roles'], 'roles', words),
      member: words(m['memberId']),
      created: n(m, 'createdUnixMs'),
      expires: n(m, 'expiresUnixMs'),
    }
  })
}

export function decodeLink(value: unknown): Link {
  const m = message(value, 'link')
  return {
    setup: truth(m['setup']),
    community: words(m['communityName']),
    roles: list(m['roles'], 'roles', words),
    member: words(m['memberId']),
    note: words(m['note']),
    expires: field<wire.Link>()(m, 'expiresUnixMs'),
  }
}

export function decodePasskeys(value: unknown): Passkey[] {
  return list(message(value, 'passkeys')['passkeys'], 'passkeys', (item) => {
    const m = message(item, 'passkey')
    const n = field<wire.Passkey>()
    return { id: words(m['passkeyId']), name: words(m['name']), created: n(m, 'createdUnixMs'), used: instant(n(m, 'usedUnixMs')) }
  })
}

export function decodeTokens(value: unknown): Token[] {
  return list(message(value, 'tokens')['tokens'], 'tokens', (item) => {
    const m = message(item, 'token')
    const n = field<wire.Token>()
    return {
      id: words(m['tokenId']),
      name: words(m['name']),
      scopes: list(m['scopes'], 'scopes', words),
      created: n(m, 'createdUnixMs'),
      expires: n(m, 'expiresUnixMs'),
      used: instant(n(m, 'usedUnixMs')),
      revoked: instant(n(m, 'revokedUnixMs')),
    }
  })
}

export function decodeAudit(value: unknown): AuditEntry[] {
  return list(message(value, 'audit')['entries'], 'entries', (item) => {
    const m = message(item, 'entry')
    const n = field<wire.AuditEntry>()
    return {
      id: n(m, 'id'),
      at: n(m, 'atUnixMs'),
      kind: words(m['kind']),
      who: words(m['whoName']) || words(m['who']),
      origin: words(m['origin']),
      act: words(m['act']),
      object: words(m['object']),
      outcome: words(m['outcome']),
      why: words(m['why']),
      times: n(m, 'times'),
    }
  })
}

export function decodePolicy(value: unknown): Policy {
  const m = message(value, 'policy')
  const grants = (name: 'roles' | 'scopes'): Grant[] =>
    list(m[name], name, (item) => {
      const one = message(item, name)
      return { name: words(one['name']), means: words(one['means']), permissions: list(one['permissions'], 'permissions', words) }
    })
  return {
    permissions: list(m['permissions'], 'permissions', (item) => {
      const one = message(item, 'permission')
      return { name: words(one['name']), means: words(one['means']), changes: truth(one['changes']) }
    }),
    roles: grants('roles'),
    scopes: grants('scopes'),
    minAggregate: field<wire.Policy>()(m, 'minAggregate'),
  }
}

/** Recovery codes, as they are shown this once. */
export const decodeCodes = (value: unknown, name: 'codes' | 'recoveryCodes'): string[] => list(message(value, name)[name], name, words)
