// SPDX-License-Identifier: AGPL-3.0-or-later
export type Scenario = 'noon' | 'night' | 'ill' | 'empty'
export interface Fake {
  url: string
  fail(on: boolean): void
  stop(): Promise<void>
}
export function startFake(scenario?: Scenario, port?: number, period?: number): Promise<Fake>
