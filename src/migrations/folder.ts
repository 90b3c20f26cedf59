import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { MigrationError } from '../core/errors.js'
import { parseScript, type Script } from './script.js'

/** One entry of drizzle-kit's journal, with its files. */
export interface Migration {
  readonly index: number
  readonly tag: string
  /** Milliseconds since 1970. drizzle-kit's migrator identifies a migration by this number alone. */
  readonly when: number
  /** sha256 of the up file, as drizzle-orm computes it. */
  readonly hash: string
  readonly up: Script
  readonly down: Script | undefined
}

const journal = z.object({
  entries: z.array(
    z.object({ idx: z.int(), when: z.int(), tag: z.string().regex(/^[\w-]+$/), breakpoints: z.boolean() }),
  ),
})
type Entry = z.infer<typeof journal>['entries'][number]

// Not a migration: the text of the catalog is in the same folder.
const catalogText = 'schema.sql'

/** The migrations of a drizzle-kit folder, oldest first. Throws a MigrationError that names every file at fault. */
export async function readFolder(folder: string): Promise<Migration[]> {
  const entries = await readJournal(folder)
  const files = new Set((await readdir(folder)).filter((name) => name.endsWith('.sql') && name !== catalogText))
  const faults = [...journalFaults(folder, entries), ...fileFaults(folder, entries, files)]
  if (faults.length > 0) throw new MigrationError(faults.join('\n'))

  return Promise.all(
    entries.map(async ({ idx, tag, when }) => {
      const bytes = await readFile(join(folder, `${tag}.sql`))
      const downFile = `${tag}.down.sql`
      return {
        index: idx,
        tag,
        when,
        hash: hashOf(bytes),
        up: parseScript(join(folder, `${tag}.sql`), bytes.toString()),
        down: files.has(downFile)
          ? parseScript(join(folder, downFile), await readFile(join(folder, downFile), 'utf8'))
          : undefined,
      }
    }),
  )
}

/** The hash of every up file in a folder, even if the folder has faults. */
export async function hashesIn(folder: string): Promise<Set<string>> {
  if (!existsSync(folder)) return new Set()
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql') && !name.endsWith('.down.sql'))
  return new Set(await Promise.all(files.map(async (name) => hashOf(await readFile(join(folder, name))))))
}

/** The faults that make a folder irreversible: missing down files, and drafts. */
export function downFaults(migrations: readonly Migration[]): string[] {
  return migrations.flatMap(({ up, down }) => {
    if (down === undefined) return [`${up.file} has no down: write ${downName(up.file)}`]
    if (down.draft) return [`${down.file} is a draft: read it, try it, and delete its first line`]
    return []
  })
}

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

const downName = (upFile: string) => upFile.replace(/\.sql$/, '.down.sql')

/** drizzle-kit's list of the migrations, oldest first. */
async function readJournal(folder: string): Promise<Entry[]> {
  const file = journalOf(folder)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch {
    throw new MigrationError(`${file} cannot be read: ${folder} is not a folder that drizzle-kit generated`)
  }
  const parsed = journal.safeParse(asJson(text))
  if (!parsed.success)
    throw new MigrationError(`${file} is not a journal of drizzle-kit: ${z.prettifyError(parsed.error)}`)
  return parsed.data.entries
}

/** The same. Returns an empty journal for a folder that the first migration has yet to create. */
export const readJournalIfAny = async (folder: string) => (existsSync(journalOf(folder)) ? readJournal(folder) : [])

const journalOf = (folder: string) => join(folder, 'meta', '_journal.json')

function asJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function journalFaults(folder: string, entries: readonly Entry[]): string[] {
  return entries.flatMap(({ idx, tag, when, breakpoints }, position) => {
    const file = join(folder, `${tag}.sql`)
    const previous = entries[position - 1]
    const faults: string[] = []
    if (idx !== position) faults.push(`${file} has idx ${idx} in the journal, where ${position} is expected`)
    if (entries.findIndex((entry) => entry.tag === tag) !== position) faults.push(`${file} is in the journal twice`)
    if (previous !== undefined && when <= previous.when) {
      // The stock migrator skips such a file silently.
      faults.push(
        `${file} is not newer than ${previous.tag}.sql: its "when" in the journal must be greater than ${previous.when}`,
      )
    }
    if (!breakpoints) faults.push(`${file} was generated without breakpoints: its statements cannot be separated`)
    return faults
  })
}

function fileFaults(folder: string, entries: readonly Entry[], files: ReadonlySet<string>): string[] {
  const known = new Set(entries.flatMap(({ tag }) => [`${tag}.sql`, `${tag}.down.sql`]))
  const missing = entries.filter(({ tag }) => !files.has(`${tag}.sql`))
  return [
    ...missing.map(
      ({ tag }) =>
        `${join(folder, `${tag}.sql`)} is in the journal, but the file is missing: restore it, or take it out of meta/_journal.json together with its snapshot`,
    ),
    ...[...files].filter((name) => !known.has(name)).map((name) => `${join(folder, name)} is not in the journal`),
  ].sort()
}
