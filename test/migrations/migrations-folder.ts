import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MigrationSet } from '../../src/migrations/migrator.js'

export interface WrittenMigration {
  readonly tag: string
  readonly up: string | readonly string[]
  readonly down?: string | readonly string[]
  readonly when?: number
}

/** A folder as drizzle-kit leaves it, in a temporary directory. A list is joined by breakpoints. */
export async function writeFolder(migrations: readonly WrittenMigration[], into?: string): Promise<string> {
  const folder = into ?? (await mkdtemp(join(tmpdir(), 'tenantry-migrations-')))
  await mkdir(join(folder, 'meta'), { recursive: true })
  const entries = migrations.map(({ tag, when }, idx) => ({
    idx,
    version: '7',
    when: when ?? 1_700_000_000_000 + idx * 1000,
    tag,
    breakpoints: true,
  }))
  await writeFile(
    join(folder, 'meta', '_journal.json'),
    JSON.stringify({ version: '7', dialect: 'postgresql', entries }, null, 2),
  )
  for (const { tag, up, down } of migrations) {
    await writeFile(join(folder, `${tag}.sql`), joined(up))
    if (down !== undefined) await writeFile(join(folder, `${tag}.down.sql`), joined(down))
  }
  return folder
}

export const asSet = (folder: string, name = 'shop'): MigrationSet => ({
  name,
  folder,
  bookkeeping: { schema: `${name}_migrations`, table: 'migrations' },
})

const joined = (sql: string | readonly string[]) =>
  typeof sql === 'string' ? sql : sql.join('\n--> statement-breakpoint\n')
