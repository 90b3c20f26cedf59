import { existsSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidInputError } from '../core/errors.js'

const tag = '0000_adopted'

/** Refuses a folder in which there are migrations already. */
export async function refuseMigrations(folder: string): Promise<void> {
  const names = existsSync(folder) ? await readdir(folder) : []
  const found = names.find((name) => name.endsWith('.sql'))
  if (found !== undefined)
    throw new InvalidInputError(
      '--migrations',
      `${folder} has migrations already, such as ${found}: name another folder; or print the definitions with --dry-run, put them into your module, run tenantry migrate new, and empty both files that it writes`,
    )
}

/**
 * Writes the first migration of a folder, which does nothing: the tables are there. Its snapshot tells `tenantry migrate new` how they are.
 * Returns the files.
 */
export async function writeFirstMigration(folder: string, snapshot: object, now = Date.now()): Promise<string[]> {
  await mkdir(join(folder, 'meta'), { recursive: true })
  const journal = {
    version: '7',
    dialect: 'postgresql',
    entries: [{ idx: 0, version: '7', when: now, tag, breakpoints: true }],
  }
  const files = [
    [
      `${tag}.sql`,
      '-- The tables of the snapshot are there already: tenantry adopt brought them under organizations.\nselect 1;\n',
    ],
    [
      `${tag}.down.sql`,
      '-- The tables were there before, and stay: tenantry adopt down undoes the adoption.\nselect 1;\n',
    ],
    [join('meta', '_journal.json'), asJson(journal)],
    [join('meta', '0000_snapshot.json'), asJson(snapshot)],
  ] as const
  for (const [file, text] of files) await writeFile(join(folder, file), text)
  return files.map(([file]) => file)
}

const asJson = (value: object) => `${JSON.stringify(value, undefined, 2)}\n`
