import { isDeepStrictEqual } from 'node:util'
import { generateMigration } from 'drizzle-kit/api'
import { readRename, unrename } from './renames.js'
import type { Snapshot, SnapshotTable } from './snapshot.js'
import { draftLine } from '../script.js'

/**
 * The statements that lead from the newest definitions back to the ones before: what drizzle-kit writes for the two snapshots
 * swapped. It knows nothing of what was written into the up file by hand.
 *
 * drizzle-kit asks whether a thing is new or renamed wherever something disappears beside something that appears. The answers are
 * already in the up file: renames are taken back first, and then everything disappears in one step and appears in another.
 */
export async function draftDown(up: readonly string[], current: Snapshot, previous: Snapshot): Promise<string> {
  const renames = up.flatMap((statement) => readRename(statement) ?? []).reverse()
  const named = renames.reduce<Snapshot>(unrename, current)
  const kept = keepCommon(named, previous)
  const drops = tidyDrops(await migration(named, kept), named, kept)
  const additions = await migration(kept, previous)
  const statements = [
    ...renames.map(({ back }) => back),
    ...drops.filter((statement) => !additions.includes(switchedOn(statement))),
    ...additions.filter((statement) => !drops.includes(switchedOff(statement))),
  ]
  return `${draftLine}\n${statements.join('\n--> statement-breakpoint\n')}\n`
}

async function migration(from: Snapshot, to: Snapshot): Promise<string[]> {
  return (await generateMigration(from, to)).map((statement) => statement.trim())
}

/**
 * The objects that both have. For a table that stays, also its policies, indexes and constraints, but only those that do not
 * change.
 */
function keepCommon(named: Snapshot, previous: Snapshot): Snapshot {
  const tables = Object.entries(named.tables).flatMap(([key, table]) => {
    const before = previous.tables[key]
    return before === undefined ? [] : [[key, keepCommonParts(table, before)] as const]
  })
  return {
    ...named,
    tables: Object.fromEntries(tables),
    enums: sameKeys(named.enums, previous.enums),
    schemas: sameKeys(named.schemas, previous.schemas),
    sequences: sameKeys(named.sequences, previous.sequences),
    roles: sameKeys(named.roles, previous.roles),
    policies: sameKeys(named.policies, previous.policies),
    views: sameKeys(named.views, previous.views),
  }
}

function keepCommonParts(table: SnapshotTable, before: SnapshotTable): SnapshotTable {
  return {
    ...table,
    columns: sameKeys(table.columns, before.columns),
    policies: unchanged(table.policies, before.policies),
    indexes: unchanged(table.indexes, before.indexes),
    foreignKeys: unchanged(table.foreignKeys, before.foreignKeys),
    compositePrimaryKeys: unchanged(table.compositePrimaryKeys, before.compositePrimaryKeys),
    uniqueConstraints: unchanged(table.uniqueConstraints, before.uniqueConstraints),
    checkConstraints: unchanged(table.checkConstraints, before.checkConstraints),
  }
}

// drizzle-kit disables row security with a table's last policy and enables it with its first. Here both are steps of one change.
const switchedOn = (statement: string) => statement.replace(/ DISABLE (ROW LEVEL SECURITY;)$/, ' ENABLE $1')
const switchedOff = (statement: string) => statement.replace(/ ENABLE (ROW LEVEL SECURITY;)$/, ' DISABLE $1')

const sameKeys = <Value>(own: Record<string, Value>, other: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(own).filter(([key]) => key in other))

const unchanged = <Value>(own: Record<string, Value>, other: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(own).filter(([key, value]) => isDeepStrictEqual(value, other[key])))

/**
 * Orders the statements: policies first, because a column that they read cannot be dropped before them; then the tables in one
 * statement without drizzle-kit's CASCADE, so that they may refer to each other, and any other reference to them is an error and no
 * loss; schemas and types last.
 */
function tidyDrops(statements: readonly string[], named: Snapshot, kept: Snapshot): string[] {
  const dropped = Object.entries(named.tables)
    .filter(([key]) => !(key in kept.tables))
    .map(([, { schema, name }]) => (schema === '' ? `"${name}"` : `"${schema}"."${name}"`))
  const goesWithTable = (statement: string) =>
    statement.startsWith('DROP TABLE ') ||
    dropped.some((table) => /^(?:DROP POLICY|ALTER TABLE)/.test(statement) && statement.includes(` ${table} `))
  const rest = statements.filter((statement) => !goesWithTable(statement))
  const first = rest.filter((statement) => statement.startsWith('DROP POLICY '))
  const last = rest.filter((statement) => /^DROP (?:SCHEMA|TYPE|SEQUENCE|ROLE) /.test(statement))
  return [
    ...first.map((statement) => statement.replace(/ CASCADE;$/, ';')),
    ...rest.filter((statement) => !first.includes(statement) && !last.includes(statement)),
    ...(dropped.length > 0 ? [`DROP TABLE ${dropped.join(', ')};`] : []),
    ...last,
  ]
}
