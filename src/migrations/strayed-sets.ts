import { type RecordedSet, setKey } from '../access/inventory.js'
import type { Session } from '../database/session.js'
import { withContext } from '../database/session-failure.js'
import { readAppliedIfAllowed, type Recorded } from './bookkeeping.js'
import { hashesIn, readFolder } from './folder.js'
import type { MigrationSet } from './migrator.js'
import { readRecordedSets } from './inventory-view.js'

/** A set of migrations that is applied to a database and missing from the project. */
export interface StrayedSet {
  readonly name: string
  /** Its bookkeeping table. */
  readonly table: string
  /** The set of the same name in the project: none of its migrations is applied in that form. */
  readonly instead?: {
    readonly folder: string
    /** The applied files that were edited since. */
    readonly edited: readonly string[]
  }
}

/** A set of the project with its applied migrations. They are unknown where this session's role may not read them. */
interface PresentSet {
  readonly set: MigrationSet
  readonly applied: readonly Recorded[]
}

/** The sets with applied migrations that are not among these, or are there only with other migrations. */
export async function strayedSets(direct: Session, sets: readonly MigrationSet[]): Promise<StrayedSet[]> {
  const session = withContext(direct, 'looking for the migrations that are applied')
  const present: PresentSet[] = []
  for (const set of sets) present.push({ set, applied: (await readAppliedIfAllowed(session, set.bookkeeping)) ?? [] })
  const recorded = await readRecordedSets(session)
  return [...(await absentSets(session, recorded, present)), ...(await otherSets(present))]
}

/** The recorded sets that are not in the project. */
async function absentSets(
  session: Session,
  recorded: readonly RecordedSet[],
  present: readonly PresentSet[],
): Promise<StrayedSet[]> {
  const known = new Set(present.map(({ set }) => setKey(set.bookkeeping)))
  const here = new Set(present.flatMap(({ applied }) => applied.map(({ hash }) => hash)))
  const absent: StrayedSet[] = []
  for (const set of recorded.filter((one) => !known.has(setKey(one)))) {
    // The record counts too, because a bookkeeping table may have been emptied or dropped by hand.
    const applied = (await readAppliedIfAllowed(session, set)) ?? []
    const hashes = [...set.hashes, ...applied.map(({ hash }) => hash)]
    // A set whose bookkeeping table was moved or renamed is present under its new name.
    const moved = hashes.some((hash) => here.has(hash))
    if (hashes.length > 0 && !moved) absent.push({ name: set.name, table: setKey(set) })
  }
  return absent
}

/** The sets of the project that have other migrations in the database. */
async function otherSets(present: readonly PresentSet[]): Promise<StrayedSet[]> {
  const others: StrayedSet[] = []
  for (const { set, applied } of present) {
    if (applied.length === 0) continue
    const { name, folder, bookkeeping } = set
    const hashes = await hashesIn(folder)
    if (applied.some(({ hash }) => hashes.has(hash))) continue
    others.push({ name, table: setKey(bookkeeping), instead: { folder, edited: await editedFiles(folder, applied) } })
  }
  return others
}

async function editedFiles(folder: string, applied: readonly Recorded[]): Promise<string[]> {
  // The migrator reports the fault of a folder that cannot be read.
  const files = await readFolder(folder).catch(() => [])
  return files.filter(({ when }) => applied.some((one) => one.when === when)).map(({ up }) => up.file)
}
