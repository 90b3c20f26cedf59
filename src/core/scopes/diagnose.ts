import type { Call, Result } from '../executor.js'

type Run = (calls: readonly Call[]) => Promise<Result[]>

/** Runs the calls, and then asks for those that gave and changed no row why not. */
export async function diagnosed(calls: readonly Call[], run: Run): Promise<Result[]> {
  const results = await run(calls)
  const questions = calls.map((call, index) =>
    // An own property only: `Object.prototype` may have one of that name.
    results[index]?.rowCount === 0 && Object.hasOwn(call, 'why') ? call.why : undefined,
  )
  const asked = questions.filter((why) => why !== undefined)
  if (asked.length === 0) return results
  const answers = await run(asked)
  return results.map((result, index) => {
    const answer = questions[index] === undefined ? undefined : answers.shift()
    return answer === undefined ? result : { ...result, why: answer }
  })
}
