import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { InvalidInputError } from '../core/errors.js'
import { parseInput } from '../core/values.js'
import type { MigrationSet } from '../migrations/migrator.js'
import { breakpoint } from '../migrations/script.js'
import type { PlannedSource, PlannedTable } from './drift.js'
import { fitted } from './home.js'
import { type Plan, type StepName, stepNames } from './plan.js'
import type { BackfillEntry } from './steps/backfill.js'

const texts = z.array(z.string())

const manifest = z.strictObject({
  version: z.literal(1),
  schema: z.string(),
  home: z.string(),
  /** The sha256 of each step as it was written. */
  files: z.record(z.string(), z.string()),
  tables: z.array(
    z.strictObject({
      name: z.string(),
      facts: texts,
      ours: texts,
      // Plans of earlier versions do not say it.
      hadColumn: z.boolean().default(false),
      untilSwap: texts,
      untilEnforce: texts,
      isSilenced: z.boolean(),
    }),
  ),
  backfill: z.array(
    z.strictObject({
      name: z.string(),
      table: z.string(),
      on: z.string(),
      isSilent: z.boolean(),
      keyLength: z.int().positive(),
      take: z.string(),
      fill: z.string(),
      check: z.string().nullable(),
    }),
  ),
  droppedIndexes: texts,
  sources: z.array(z.object({ name: z.string(), facts: texts })).default([]),
})

/** A plan that was written into a folder. */
export interface WrittenPlan {
  readonly schema: string
  readonly home: string
  /** The tables that have rows of organizations. */
  readonly tables: readonly PlannedTable[]
  readonly backfill: readonly BackfillEntry[]
  readonly droppedIndexes: readonly string[]
  /** The tables of which rows become organizations, with the columns that are read. */
  readonly sources: readonly PlannedSource[]
  readonly set: MigrationSet
}

const manifestFile = 'adoption.json'
/** The name of the files of a step. */
export const tagOf = (name: StepName): string => `${String(stepNames.indexOf(name)).padStart(4, '0')}_${name}`

/** The steps are applied as migrations of their own: each with its way back, and recorded apart from all others. */
export const adoptionSet = (schema: string, folder: string): MigrationSet => ({
  name: 'adopt',
  folder,
  bookkeeping: { schema: 'platform_migrations', table: fitted(`adopt_${schema}`) },
  // Operators and functions of somebody else would run with the rights of the owner.
  searchPath: 'pg_catalog, pg_temp',
})

/** Writes the files of a plan, and returns their names. Those of an earlier plan are replaced. */
export async function writePlan(
  folder: string,
  { schema, home, tables, steps, backfill, droppedIndexes, sources }: Plan,
  now = Date.now(),
): Promise<string[]> {
  await clear(folder)
  await mkdir(join(folder, 'meta'), { recursive: true })
  const scripts = stepNames.flatMap((name) => [
    [`${tagOf(name)}.sql`, scriptOf(steps[name].up)] as const,
    [`${tagOf(name)}.down.sql`, scriptOf(steps[name].down)] as const,
  ])
  const files: (readonly [file: string, text: string])[] = [
    ...scripts,
    [
      manifestFile,
      asJson({
        version: 1,
        schema,
        home,
        files: Object.fromEntries(scripts.map(([file, text]) => [file, hashOf(text)])),
        tables: tables.map((table) => ({
          ...table,
          facts: [...table.facts],
          ours: [...table.ours],
          untilSwap: [...table.untilSwap],
          untilEnforce: [...table.untilEnforce],
        })),
        backfill: [...backfill],
        droppedIndexes: [...droppedIndexes],
        sources: sources.map(({ name, facts }) => ({ name, facts: [...facts] })),
      } satisfies z.input<typeof manifest>),
    ],
    [
      join('meta', '_journal.json'),
      asJson({
        version: '7',
        dialect: 'postgresql',
        entries: stepNames.map((name, idx) => ({
          idx,
          version: '7',
          when: now + idx,
          tag: tagOf(name),
          breakpoints: true,
        })),
      }),
    ],
  ]
  for (const [file, text] of files) await writeFile(join(folder, file), text)
  return files.map(([file]) => file)
}

/** Removes an earlier plan, and nothing that is not of one. */
async function clear(folder: string): Promise<void> {
  if (!existsSync(folder)) return
  const names = await readdir(folder)
  if (names.length === 0) return
  if (!names.includes(manifestFile))
    throw new InvalidInputError('--folder', `${folder} holds other files than those of a plan: name a new folder`)
  const { files } = await readManifest(folder)
  const scripts = names.filter((name) => Object.hasOwn(files, name))
  for (const name of scripts)
    if (hashOf(await readFile(join(folder, name), 'utf8')) !== files[name])
      throw new InvalidInputError(
        '--folder',
        `${join(folder, name)} was edited: delete it to have it written again, or name a new folder`,
      )
  const own = [...scripts, manifestFile, ...names.filter((name) => name === 'meta')]
  for (const name of own) await rm(join(folder, name), { recursive: true })
}

export async function readPlan(folder: string): Promise<WrittenPlan> {
  if (!existsSync(join(folder, manifestFile)))
    throw new InvalidInputError(
      '--folder',
      `${folder} has no ${manifestFile}: run tenantry adopt plan first; if steps were taken with another folder, bring that one back`,
    )
  const { files: _, version: __, ...written } = await readManifest(folder)
  return { ...written, set: adoptionSet(written.schema, folder) }
}

async function readManifest(folder: string): Promise<z.output<typeof manifest>> {
  const path = join(folder, manifestFile)
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new InvalidInputError(
      path,
      `is not as tenantry adopt plan wrote it (${error instanceof Error ? error.message : String(error)}): bring it back from your repository; plan again only if no step is taken`,
    )
  }
  return parseInput(manifest, value)
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')

const asJson = (value: object) => `${JSON.stringify(value, undefined, 2)}\n`

/** Each statement has a transaction of its own, so that no lock is held for longer than one. */
const scriptOf = (statements: readonly string[]): string =>
  `-- no-transaction\n${statements.map((statement) => `${statement};`).join(`\n${breakpoint}\n`)}\n`
