import type { Call, Result } from '../executor.js'
import { RetryableError } from '../errors.js'
import { isUnplanned, type Plan, type Planned, planned } from '../planned.js'

type Run = (calls: readonly Call[]) => Promise<Result[]>

/** Plans the calls that are not planned yet. What they have to ask goes out in one round trip, by `send`. */
export async function planAll(
  plans: readonly Plan<unknown>[],
  send: (all: readonly Planned<unknown>[]) => Promise<readonly unknown[]>,
): Promise<Planned<unknown>[]> {
  const asked = plans.flatMap((plan) =>
    isUnplanned(plan) && plan.ask !== undefined ? [planned(plan.ask, asItIs)] : [],
  )
  const answers = asked.length === 0 ? [] : [...(await send(asked))]
  return Promise.all(
    plans.map(async (plan) => {
      if (!isUnplanned(plan)) return plan
      return plan.plan(plan.ask === undefined ? undefined : (answers.shift() as Result))
    }),
  )
}

/** The same for one. */
export async function planOne<T>(plan: Plan<T>, send: (one: Planned<Result>) => Promise<Result>): Promise<Planned<T>> {
  if (!isUnplanned(plan)) return plan
  return plan.plan(plan.ask === undefined ? undefined : await send(planned(plan.ask, asItIs)))
}

const asItIs = (result: Result): Result => result

/** Whether the calls can be planned again and sent a second time: they sealed with a data key that was rotated meanwhile. */
export const isSealedTooLate = (error: unknown, all: readonly Planned<unknown>[]): boolean =>
  error instanceof RetryableError && error.reason === 'key' && all.some(({ again }) => again !== undefined)

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

export const isRead = (one: Planned<unknown>): boolean =>
  callsOf([one]).every(({ statement }) => statement.effect === 'read')
