import type { Executor, Statement } from '../core/executor.js'
import { newId } from '../core/ids.js'

/** Reads what belongs to no organization and no person. The connection is bound to a person who does not exist. */
export async function runUnbound(
  executor: Executor,
  statement: Statement,
  values: readonly unknown[],
): Promise<readonly (readonly unknown[])[]> {
  const [found] = await executor.run({ kind: 'user', id: newId() }, [{ statement, values }])
  return found?.rows ?? []
}
