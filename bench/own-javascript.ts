import type { Executor, Result } from '../src/core/executor.js'
import { DirectScope, openNodePostgres, Tasks, trusted } from './built.js'
import type { BenchDatabase } from './database.js'
import { median } from './measure.js'
import { contextIn } from './scope-context.js'

const calls = 50_000

/** Microseconds of this library's own JavaScript in a hot point read: the same call with a database that answers at once. */
export async function ownJavaScript({ database, orgId, taskIds }: BenchDatabase, rounds: number): Promise<number> {
  const [id = ''] = taskIds
  const executor = openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } })
  let answer: Promise<Result[]> | undefined
  const instant: Executor = {
    ...executor,
    run: (...given) => (answer ??= executor.run(...given)),
  }
  const context = { ...contextIn(orgId), rules: trusted }
  const tasks = new Tasks(new DirectScope(context, instant))
  await tasks.get(id)
  const figures: number[] = []
  for (let round = 0; round < rounds; round++) {
    const nothing = await microseconds(() => answer as Promise<Result[]>)
    figures.push((await microseconds(() => tasks.get(id))) - nothing)
  }
  await executor.close()
  return median(figures)
}

async function microseconds(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  for (let done = 0; done < calls; done++) await call()
  return ((performance.now() - start) * 1000) / calls
}
