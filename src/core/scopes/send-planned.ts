import type { Call, Result } from '../executor.js'
import type { Planned } from '../planned.js'

type Run = (calls: readonly Call[]) => Promise<Result[]>

/** The answers to one planned call. */
export interface Outcome {
  readonly result: Result
  readonly diagnosis: Result | undefined
}

/** Sends all calls in one round trip. One more runs the diagnostic queries of the calls that returned and changed no row. */
export async function sendPlanned(all: readonly Planned<unknown>[], run: Run): Promise<Outcome[]> {
  const results = await run(callsOf(all))
  let last = -1
  const own = all.map(({ before }) => results[(last += before.length + 1)] as Result)
  const questions = all.map(({ diagnose }, index) => (own[index]?.rowCount === 0 ? diagnose : undefined))
  const asked = questions.filter((call) => call !== undefined)
  const answers = asked.length === 0 ? [] : await run(asked)
  return own.map((result, index) => ({
    result,
    diagnosis: questions[index] === undefined ? undefined : answers.shift(),
  }))
}

/** The same for one, which is what most round trips carry. */
export async function sendOne(one: Planned<unknown>, run: Run): Promise<Outcome> {
  const results = await run(one.before.length === 0 ? [one.call] : [...one.before, one.call])
  const result = results[results.length - 1] as Result
  if (one.diagnose === undefined || result.rowCount > 0) return { result, diagnosis: undefined }
  const [diagnosis] = await run([one.diagnose])
  return { result, diagnosis }
}

/** The results for the callers. Throws the first error in the order of the calls. */
export const readAll = (all: readonly Planned<unknown>[], outcomes: readonly Outcome[]): unknown[] =>
  all.map(({ read }, index) => {
    const { result, diagnosis } = outcomes[index] as Outcome
    return read(result, diagnosis)
  })

export const callsOf = (all: readonly Planned<unknown>[]): Call[] =>
  all.flatMap(({ before, call }) => [...before, call])
