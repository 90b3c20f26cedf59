import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateDrizzleJson } from 'drizzle-kit/api'
import { MigrationError } from '../../core/errors.js'
import { readJournalIfAny } from '../folder.js'

/** The file of all definitions that drizzle-kit writes with each migration. Only the fields that are used here have types. */
export interface Snapshot {
  tables: Record<string, SnapshotTable>
  enums: Named
  schemas: Named
  sequences: Named
  roles: Named
  policies: Named
  views: Named
}

export interface SnapshotTable {
  name: string
  schema: string
  columns: Record<string, { name: string }>
  indexes: Record<string, { columns: { expression: string; isExpression: boolean }[] }>
  foreignKeys: Record<string, SnapshotForeignKey>
  compositePrimaryKeys: Record<string, { columns: string[] }>
  uniqueConstraints: Record<string, { columns: string[] }>
  policies: Record<string, { name: string }>
  checkConstraints: Named
}

interface SnapshotForeignKey {
  tableFrom: string
  tableTo: string
  schemaTo?: string
  columnsFrom: string[]
  columnsTo: string[]
}

type Named = Record<string, unknown>

/** The definitions as of the newest migration and of the one before it. Both are empty for an empty folder. */
export async function readSnapshots(folder: string): Promise<{ current: Snapshot; previous: Snapshot }> {
  const [current, previous] = (await readJournalIfAny(folder)).reverse()
  return { current: await readSnapshot(folder, current?.tag), previous: await readSnapshot(folder, previous?.tag) }
}

/** A snapshot of the definitions in the code. */
export function takeSnapshot(definitions: Record<string, unknown>): Snapshot {
  // Through JSON as in the files, which leaves out undefined fields.
  return JSON.parse(JSON.stringify(generateDrizzleJson(definitions))) as Snapshot
}

async function readSnapshot(folder: string, tag: string | undefined): Promise<Snapshot> {
  if (tag === undefined) return takeSnapshot({})
  const file = join(folder, 'meta', `${tag.split('_', 1).join('')}_snapshot.json`)
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Snapshot
  } catch {
    throw new MigrationError(`${file}, the snapshot of ${tag}.sql, cannot be read`)
  }
}
