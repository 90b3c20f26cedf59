import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateDrizzleJson } from 'drizzle-kit/api'
import { MigrationError } from '../../core/errors.js'
import { readJournalIfAny } from '../folder.js'

/** What drizzle-kit writes beside each migration: all definitions as they were. Only what is used here is spelled out. */
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

/** The definitions as the newest migration has them, and as the one before it had them. Of an empty folder both are empty. */
export async function readSnapshots(folder: string): Promise<{ current: Snapshot; previous: Snapshot }> {
  const [current, previous] = (await readJournalIfAny(folder)).reverse()
  return { current: await readSnapshot(folder, current?.tag), previous: await readSnapshot(folder, previous?.tag) }
}

/** The definitions as they are in code. */
export function takeSnapshot(definitions: Record<string, unknown>): Snapshot {
  // Through JSON like the files: without what is undefined.
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
