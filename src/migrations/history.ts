import { createHash } from 'node:crypto'
import type { Direction, Recorded, Records } from './bookkeeping.js'
import type { Migration } from './folder.js'
import type { Script } from './script.js'

/** A folder compared with the records of a database. */
export interface History {
  readonly applied: readonly Migration[]
  readonly pending: readonly Migration[]
  /** Applied by a newer build: newer than every file here. */
  readonly later: readonly Recorded[]
  /** A `-- no-transaction` file that was interrupted. */
  readonly half: HalfDone | undefined
  /** Each names a file. With any fault nothing is applied or undone. */
  readonly faults: readonly string[]
}

interface HalfDone {
  readonly migration: Migration
  readonly direction: Direction
  /** The number of statements of the file that were run. */
  readonly statements: number
}

export function compare(migrations: readonly Migration[], { applied: records, unfinished }: Records): History {
  const newest = migrations.at(-1)?.when ?? -Infinity
  const known = new Map(migrations.map((migration) => [migration.when, migration]))
  const recorded = new Set(records.map(({ when }) => when))
  const applied = migrations.filter(({ when }) => recorded.has(when))
  const pending = migrations.filter(({ when }) => !recorded.has(when))

  const faults = [
    ...records.flatMap((record, position) => {
      if (records[position - 1]?.when === record.when) return [`${describe(record)} is recorded twice`]
      const here = known.get(record.when)
      if (here !== undefined) return here.hash === record.hash ? [] : [changed(here, record, migrations)]
      return record.when > newest ? [] : [missing(record, migrations)]
    }),
    ...pending
      .filter(({ when }) => applied.some((other) => other.when > when))
      .map(
        ({ up }) =>
          `${up.file} was never applied, although newer migrations were applied: generate it again, so that it comes last`,
      ),
  ]
  let half: HalfDone | undefined
  if (unfinished !== undefined) {
    const migration = known.get(unfinished.when)
    const script = migration?.[unfinished.direction]
    if (migration === undefined || script === undefined) {
      faults.push(`${describe(unfinished)} was interrupted, and its file is not in this folder`)
    } else {
      half = { migration, direction: unfinished.direction, statements: unfinished.statements }
      if (hashOfFirst(script, unfinished.statements) !== unfinished.hash) {
        faults.push(
          `${script.file} was interrupted after statement ${unfinished.statements}, and the statements that had run were edited since`,
        )
      }
    }
  }
  return { applied, pending, later: records.filter(({ when }) => when > newest), half, faults }
}

/** The hash of the statements of an interrupted file that were run. The rest may still be edited. */
export function hashOfFirst(script: Script, statements: number): string {
  const texts = script.statements.slice(0, statements).map(({ text }) => text)
  return createHash('sha256').update(JSON.stringify(texts)).digest('hex')
}

function changed(here: Migration, record: Recorded, migrations: readonly Migration[]): string {
  const original = migrations.find(({ hash }) => hash === record.hash)
  return original === undefined
    ? `${here.up.file} was edited after it was applied: restore it, and write a further migration`
    : `the journal lists ${here.up.file} at the place where ${original.up.file} was applied: it was reordered`
}

function missing(record: Recorded, migrations: readonly Migration[]): string {
  const moved = migrations.find(({ hash }) => hash === record.hash)
  return moved === undefined
    ? `${describe(record)} was applied, and is not in this folder: look for that "when" in the history of meta/_journal.json`
    : `${moved.up.file} was applied with another "when" (${record.when}): the journal was reordered or edited`
}

const describe = ({ when, hash }: Recorded) =>
  `the migration of ${new Date(when).toISOString()} ("when": ${when}, sha256 ${hash.slice(0, 12)})`
