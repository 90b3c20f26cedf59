import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { MigrationError } from '../../core/errors.js'
import { ungeneratedChanges } from './definitions.js'
import { draftDown } from './draft-down.js'
import { readFolder, readJournalIfAny } from '../folder.js'
import { breakpoint } from '../script.js'
import { readSnapshots } from './snapshot.js'

export interface NewMigration {
  readonly name: string
  /** The project's drizzle.config.ts. */
  readonly config: string
  /** The folder that drizzle-kit writes to. */
  readonly folder: string
  /** Everything that the schema module exports. */
  readonly definitions: Record<string, unknown>
}

export interface GeneratedMigration {
  readonly tag: string
  readonly up: string
  /** A draft: its first line says so. `migrate down` and `migrate verify` refuse it until somebody has deleted that line. */
  readonly down: string
}

/**
 * Runs drizzle-kit to generate a migration, and drafts its down file. Returns undefined when the definitions have not changed. On a
 * terminal drizzle-kit asks about renames; without one it would exit with success, which is an error here.
 */
export async function newMigration({
  name,
  config,
  folder,
  definitions,
}: NewMigration): Promise<GeneratedMigration | undefined> {
  if (!/^[a-z0-9_]+$/.test(name))
    throw new MigrationError(`the name of a migration must be lower case, such as add_agents, not ${name}`)
  // drizzle-kit would go on from a snapshot whose migration is missing, and the folder would never lead to the tables.
  if ((await readJournalIfAny(folder)).length > 0) await readFolder(folder)
  const changes = await ungeneratedChanges(definitions, folder)
  if (changes.length === 0) return undefined

  const before = await readJournalIfAny(folder)
  const said = await generate(resolve(config), name)
  const after = await readJournalIfAny(folder)
  const tag = after.at(-1)?.tag
  if (after.length !== before.length + 1 || tag === undefined) throw new MigrationError(whyNothing(said, folder))
  const left = await ungeneratedChanges(definitions, folder)
  if (left.length > 0) {
    throw new MigrationError(
      `${tag}.sql lacks some of the definitions; check that the schema in ${config} is the same:\n${left.join('\n')}`,
    )
  }
  const up = join(folder, `${tag}.sql`)
  const down = join(folder, `${tag}.down.sql`)
  const { current, previous } = await readSnapshots(folder)
  const statements = (await readFile(up, 'utf8')).split(breakpoint).map((statement) => statement.trim())
  await writeFile(down, await draftDown(statements, current, previous), { flag: 'wx' })
  return { tag, up, down }
}

/**
 * The output of drizzle-kit, or undefined when it went to the terminal. drizzle-kit looks for its files from the directory of its
 * config.
 */
async function generate(config: string, name: string): Promise<string | undefined> {
  const terminal = process.stdin.isTTY && process.stdout.isTTY
  const child = spawn(process.execPath, [findKit(config), 'generate', '--config', basename(config), '--name', name], {
    cwd: dirname(config),
    stdio: terminal ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout?.on('data', (text: Buffer) => (said += text.toString()))
  child.stderr?.on('data', (text: Buffer) => (said += text.toString()))
  await new Promise((settle, fail) => child.on('close', settle).on('error', fail))
  return terminal ? undefined : said
}

function findKit(config: string): string {
  for (const from of [config, import.meta.url]) {
    try {
      return join(dirname(createRequire(from).resolve('drizzle-kit')), 'bin.cjs')
    } catch {
      continue
    }
  }
  throw new MigrationError('drizzle-kit is not installed: npm install --save-dev drizzle-kit')
}

function whyNothing(said: string | undefined, folder: string): string {
  const wrote = `drizzle-kit wrote no migration into ${folder}`
  if (said === undefined) return `${wrote}; what it said stands above`
  if (said.includes('Interactive prompts require a TTY')) {
    return `${wrote}: something disappears where something else appears, and only you know whether it was renamed. Run this in a terminal`
  }
  return `${wrote}:\n${said.trim()}`
}
