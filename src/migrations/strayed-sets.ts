import { z } from 'zod'
import { setKey } from '../access/inventory.js'
import type { Session } from '../database/session.js'
import { readApplied } from './bookkeeping.js'
import { readFolder } from './folder.js'
import type { MigrationSet } from './migrator.js'
import { readInventory } from './recorded.js'

/** A set of migrations that is applied to a database, and that the project at hand does not have. */
export interface StrayedSet {
  readonly name: string
  /** Its bookkeeping table. */
  readonly table: string
  /** The folder that the project has instead: it shares no migration with what is applied. */
  readonly folder?: string
}

const setFacts = z.object({ name: z.string(), schema: z.string(), table: z.string() })

/** The sets of which something is applied, and that are not among these, or only by name. */
export async function strayedSets(session: Session, sets: readonly MigrationSet[]): Promise<StrayedSet[]> {
  const strayed: StrayedSet[] = []
  for (const { name, table, bookkeeping } of await absentSets(session, sets)) {
    if ((await readApplied(session, bookkeeping)).length > 0) strayed.push({ name, table })
  }
  for (const { name, folder, bookkeeping } of sets) {
    const applied = await readApplied(session, bookkeeping)
    if (applied.length === 0) continue
    // By its time alone a file is known that was edited since: the migrator names it.
    const known = new Set((await readFolder(folder)).flatMap(({ hash, when }) => [hash, when]))
    if (!applied.some(({ hash, when }) => known.has(hash) || known.has(when)))
      strayed.push({ name, table: setKey(bookkeeping), folder })
  }
  return strayed
}

/** The recorded sets that are not among these. Also for the logins that serve. */
export async function absentSets(session: Session, sets: readonly MigrationSet[]) {
  const present = new Set(sets.map(({ bookkeeping }) => setKey(bookkeeping)))
  return (await readInventory(session)).flatMap(({ what, set, facts }) => {
    const { data } = setFacts.safeParse(facts)
    if (what !== 'set' || data === undefined || present.has(set)) return []
    const { name, ...bookkeeping } = data
    return [{ name, table: set, bookkeeping }]
  })
}
