import { MigrationError } from '../../core/errors.js'
import type { Snapshot, SnapshotTable } from './snapshot.js'

/** A rename in an up file, which drizzle-kit wrote after asking, and the statement that undoes it. */
export interface Rename {
  readonly kind: 'table' | 'column' | 'policy'
  /** `schema.name`, as in the snapshot: the table, or the table of the column or policy. */
  readonly table: string
  readonly from: string
  readonly to: string
  readonly back: string
}

const name = '"[^"]+"'
const tableName = `(?<table>(?:${name}\\.)?${name})`
const forms = [
  ['table', new RegExp(`^ALTER TABLE ${tableName} RENAME TO (?<to>${name})`)],
  ['column', new RegExp(`^ALTER TABLE ${tableName} RENAME COLUMN (?<from>${name}) TO (?<to>${name})`)],
  ['policy', new RegExp(`^ALTER POLICY (?<from>${name}) ON ${tableName} RENAME TO (?<to>${name})`)],
] as const

/** Reads a statement of an up file. Returns undefined unless it is a rename. */
export function readRename(statement: string): Rename | undefined {
  for (const [kind, form] of forms) {
    const found = form.exec(statement)?.groups
    if (found !== undefined) return rename(kind, found.table ?? '', found.from, found.to ?? '')
  }
  if (/^ALTER [^;]*(?: RENAME TO | SET SCHEMA )/.test(statement)) {
    throw new MigrationError(`no down file can be drafted with this rename; write it by hand: ${statement}`)
  }
  return undefined
}

/** Quotes all names, as drizzle-kit does. */
function rename(kind: Rename['kind'], table: string, from: string | undefined, to: string): Rename {
  const own = table.slice(table.lastIndexOf('"', table.length - 2))
  const back = {
    table: `ALTER TABLE ${table.slice(0, -own.length)}${to} RENAME TO ${own};`,
    column: `ALTER TABLE ${table} RENAME COLUMN ${to} TO ${from};`,
    policy: `ALTER POLICY ${to} ON ${table} RENAME TO ${from};`,
  }
  const key = table === own ? `public.${bare(table)}` : bare(table)
  return { kind, table: key, from: bare(from ?? own), to: bare(to), back: back[kind] }
}

const bare = (quoted: string) => quoted.replaceAll('"', '')

/** The snapshot with the old name, as if there had been no rename. */
export function unrename(snapshot: Snapshot, { kind, table, from, to }: Rename): Snapshot {
  const renamed = structuredClone(snapshot)
  switch (kind) {
    case 'table':
      unrenameTable(renamed, table, from, to)
      break
    case 'column':
      unrenameColumn(renamed, table, from, to)
      break
    case 'policy':
      unrenameKey(tableOf(renamed, table).policies, from, to)
      break
  }
  return renamed
}

function unrenameTable(snapshot: Snapshot, before: string, from: string, to: string): void {
  const after = `${before.slice(0, -from.length)}${to}`
  for (const other of Object.values(snapshot.tables)) {
    for (const reference of Object.values(other.foreignKeys)) if (refersTo(reference, after)) reference.tableTo = from
  }
  for (const own of Object.values(tableOf(snapshot, after).foreignKeys)) own.tableFrom = from
  snapshot.tables = Object.fromEntries(
    Object.entries(snapshot.tables).map(([name, table]) =>
      name === after ? [before, { ...table, name: from }] : [name, table],
    ),
  )
}

function unrenameColumn(snapshot: Snapshot, table: string, from: string, to: string): void {
  const old = (column: string) => (column === to ? from : column)
  const own = tableOf(snapshot, table)
  unrenameKey(own.columns, from, to)
  for (const { columns } of Object.values(own.indexes)) {
    for (const column of columns) if (!column.isExpression) column.expression = old(column.expression)
  }
  for (const key of [...Object.values(own.compositePrimaryKeys), ...Object.values(own.uniqueConstraints)]) {
    key.columns = key.columns.map(old)
  }
  for (const reference of Object.values(own.foreignKeys)) reference.columnsFrom = reference.columnsFrom.map(old)
  for (const other of Object.values(snapshot.tables)) {
    for (const reference of Object.values(other.foreignKeys)) {
      if (refersTo(reference, table)) reference.columnsTo = reference.columnsTo.map(old)
    }
  }
}

function unrenameKey(named: Record<string, { name: string }>, from: string, to: string): void {
  const entries = Object.entries(named)
  for (const [key] of entries) Reflect.deleteProperty(named, key)
  // Keeps the order: a table is created with its columns in it.
  for (const [key, value] of entries) named[key === to ? from : key] = key === to ? { ...value, name: from } : value
}

function tableOf(snapshot: Snapshot, key: string): SnapshotTable {
  const found = snapshot.tables[key]
  if (found === undefined) throw new MigrationError(`the newest snapshot has no table ${key}`)
  return found
}

const refersTo = ({ schemaTo, tableTo }: { schemaTo?: string; tableTo: string }, table: string) =>
  `${schemaTo ?? 'public'}.${tableTo}` === table
