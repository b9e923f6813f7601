// SPDX-License-Identifier: AGPL-3.0-or-later

// What every decoder is made of: each takes what JSON gave and says which field
// is not as agreed.
import type { Quality } from './wire.gen'

/** Says what in an answer was not as agreed. */
export class DecodeError extends Error {}

export type Message = Record<string, unknown>

export function message(value: unknown, what: string): Message {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Message
  throw new DecodeError(`${what} is not an object; is the page as old as the coordinator?`)
}

export function list<T>(value: unknown, what: string, one: (item: unknown) => T): T[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value.map(one)
  throw new DecodeError(`${what} is not a list; is the page as old as the coordinator?`)
}

/** Decimal text or a number, as an exact number; absent is the protobuf default, nought. */
export function integer(value: unknown, what: string): number {
  if (value === undefined || value === null) return 0
  const n = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value
  if (typeof n === 'number' && Number.isSafeInteger(n)) return n
  throw new DecodeError(`${what} is not a whole number that a page can hold: ${JSON.stringify(value)}`)
}

export function counter(value: unknown, what: string): string {
  const digits = String(value ?? '0')
  if (/^\d+$/.test(digits)) return digits
  throw new DecodeError(`${what} is not a count: ${JSON.stringify(value)}`)
}

export const words = (value: unknown): string => (typeof value === 'string' ? value : '')
export const truth = (value: unknown): boolean => value === true
export const quality = (value: unknown): Quality => (typeof value === 'string' ? (value as Quality) : 'QUALITY_GOOD')

// field names a wire message's field, so that a renamed one fails to compile.
export const field =
  <T>() =>
  (m: Message, name: keyof T & string): number =>
    integer(m[name], name)
