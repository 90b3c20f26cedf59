import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { type CarriedRows, readCarried } from './carry.js'
import { calmly } from './carrying.js'
import { type CarryingStep, carryingSteps, isMarked, takenSteps } from './carrying-home.js'
import { findEarlierPlatform } from './earlier-platform.js'

export interface PlatformStatus {
  readonly schema: string
  readonly steps: readonly { readonly name: CarryingStep; readonly state: 'taken' | 'half' | 'pending' }[]
  /** Writes since `expand` that are not carried yet. */
  readonly waiting: number
  readonly tables: readonly CarriedRows[]
}

export const platformStatus = (session: Session, schema: string): Promise<PlatformStatus> =>
  calmly(session, () => statusOf(withContext(session, 'the earlier tables'), schema))

async function statusOf(session: Session, schema: string): Promise<PlatformStatus> {
  const { home, tables, schema: found } = await findEarlierPlatform(session, schema)
  const taken = await takenSteps(session, home)
  const isExpanded = taken.includes('expand')
  const half = {
    swap: isExpanded && (await isMarked(session, home, 'closing')),
    contract: isExpanded && (await isMarked(session, home, 'emptying')),
  }
  const [row] = isExpanded
    ? await session.query<{ waiting: number }>(
        `select pg_catalog.count(*)::float8 as waiting from ${inHome(home, 'changes')}`,
      )
    : []
  return {
    schema: found,
    steps: carryingSteps.map((name) => ({
      name,
      state: taken.includes(name) ? 'taken' : half[name as keyof typeof half] ? 'half' : 'pending',
    })),
    waiting: row?.waiting ?? 0,
    tables: isExpanded ? await readCarried(session, home, tables) : [],
  }
}
