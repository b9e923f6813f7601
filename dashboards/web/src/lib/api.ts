// SPDX-License-Identifier: AGPL-3.0-or-later

// Questions and orders to the coordinator.

/** The coordinator answered, and said no: it lives, and told why. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status = 0,
  ) {
    super(message)
  }
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

const patience = 30_000 // hashing a password takes a small computer a while

/** Asks, or orders with a body; what is text and not JSON stays text; an answer that is a refusal becomes a Refusal with what it said. */
export async function call(method: Method, path: string, body?: object): Promise<unknown> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  const init: RequestInit = { method, headers, signal: AbortSignal.timeout(patience) }
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json'
    init.body = JSON.stringify(body)
  }
  let answer: Response
  try {
    answer = await fetch(path, init)
  } catch (fault) {
    throw new Error(`The coordinator does not answer (${words(fault)}). Check the network, then try again.`, { cause: fault })
  }
  if (answer.ok) return answer.headers.get('Content-Type')?.startsWith('text/') ? answer.text() : answer.json()
  const said: unknown = await answer.json().catch(() => null)
  const message = typeof said === 'object' && said !== null && 'message' in said ? String(said.message) : answer.statusText
  throw new Refusal(message || `the coordinator answers with status ${answer.status}`, answer.status)
}

/** Asks, as the live page does. */
export const getJSON = (path: string): Promise<unknown> => call('GET', path)

/** What went wrong, for people. */
export const words = (fault: unknown): string => (fault instanceof Error ? fault.message : String(fault))
