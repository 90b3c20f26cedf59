import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import type { Session } from '../../database/session.js'
import { shapeFindings } from './analyse-platform.js'
import { alone, type Carrying } from './carrying.js'
import { type CarryingStep, isMarked, takenSteps } from './carrying-home.js'
import { findEarlierPlatform } from './earlier-platform.js'

/** The tables that can be carried. */
export const withShape = (tables: Carrying['tables']): Carrying['tables'] =>
  tables.filter((table) => shapeFindings(table).length === 0)

interface Between {
  /** The step that must be taken. */
  readonly after?: CarryingStep
  /** The step that must not. */
  readonly before?: CarryingStep
}

/** Runs a step while no other one runs. What has to be taken before is looked at inside, since another one may have just ended. */
export async function step<T>(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  { after, before }: Between,
  work: (carrying: Carrying) => Promise<T>,
): Promise<T> {
  const { home, tables } = await findEarlierPlatform(session, schema)
  return alone(session, home, async () => {
    const taken = await takenSteps(session, home)
    if (after !== undefined && !taken.includes(after))
      throw new MigrationError(`${after} comes first, and is not complete: run tenantry adopt platform ${after}`)
    if (before !== undefined && taken.includes(before))
      throw new MigrationError(`${before} is taken already: undo it with tenantry adopt platform down`)
    if (before !== undefined && after !== undefined && (await isMarked(session, home, 'closing')))
      throw new MigrationError(
        `${before} is half taken: finish it with tenantry adopt platform ${before}, or undo it with tenantry adopt platform down`,
      )
    return work({ session, home, tables: withShape(tables), dataKeys })
  })
}
