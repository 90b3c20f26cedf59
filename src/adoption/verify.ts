import { InvalidInputError, UnavailableError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import type { Before, BeforeRange, BeforeTable } from './before.js'
import type { CatalogTable } from './catalog.js'
import { findRanges, hashRanges, type Source } from './ranges.js'
import { inSnapshot, type QualifiedTable, type Snapshot } from './snapshot.js'

type Progress = (progress: { readonly done: number; readonly total: number }) => void

/** What became of the rows of a schema. */
export interface Verified extends Pick<Before, 'schema' | 'takenAt' | 'leftOut'> {
  readonly isEqual: boolean
  readonly tables: readonly VerifiedTable[]
}

export interface VerifiedTable {
  readonly name: string
  readonly isMissing: boolean
  /** Where one is missing, no range is compared. */
  readonly missingColumns: readonly string[]
  readonly rowsBefore: number
  readonly ranges: number
  readonly different: readonly DifferentRange[]
  /** Rows below the first key and above the last one of before. */
  readonly newRows: number
}

export interface DifferentRange extends Pick<BeforeRange, 'first' | 'last'> {
  readonly rowsBefore: number
  readonly rowsNow: number
}

const rowsPerRange = 10_000

/** Hashes the rows of a schema as they are before its adoption, and writes nothing. */
export function takeBefore(
  session: Session,
  schema: string,
  onProgress: Progress = () => undefined,
  size = rowsPerRange,
): Promise<Before> {
  return inSnapshot(
    session,
    schema,
    (table) => reasonToLeaveOut(table) === undefined,
    async (snapshot) => {
      const { reader, catalog } = snapshot
      if (catalog.tables.every((table) => reasonToLeaveOut(table) !== undefined))
        throw new InvalidInputError('--schema', `there are no tables with a primary key in ${schema}`)
      const [time] = await reader.query<{ at: string }>(
        `select pg_catalog.to_char(pg_catalog.now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at`,
      )
      const tables: BeforeTable[] = []
      for (const [done, table] of catalog.tables.entries()) {
        onProgress({ done, total: catalog.tables.length })
        if (reasonToLeaveOut(table) === undefined) tables.push(await beforeOf(snapshot, table, size))
      }
      const leftOut = catalog.tables.flatMap((table) => {
        const reason = reasonToLeaveOut(table)
        return reason === undefined ? [] : [{ table: table.name, reason }]
      })
      return { version: 1, schema, takenAt: time?.at ?? '', tables, leftOut }
    },
  )
}

function reasonToLeaveOut({ form, primaryKey }: CatalogTable): string | undefined {
  if (form === 'foreign') return 'it is on another server'
  return primaryKey.length === 0 ? 'it has no primary key' : undefined
}

async function beforeOf(snapshot: Snapshot, table: CatalogTable, size: number): Promise<BeforeTable> {
  const columns = table.columns.map((column) => column.name)
  const source = { tables: tablesOf(snapshot, table), key: table.primaryKey, columns }
  const ends = await findRanges(snapshot.reader, source, size)
  const { ranges, newRows } = await hashRanges(snapshot.reader, source, ends)
  const hashed = ends.flatMap((range, place) => {
    const rows = ranges[place]
    return rows === undefined ? [] : [{ ...range, ...rows }]
  })
  // Such as one of jsonb, whose text is a text in JSON.
  if (newRows > 0 || hashed.length < ends.length)
    throw new UnavailableError(
      `${table.name}: its primary key (${table.primaryKey.join(', ')}) cannot be read back from its text. Make a key of another type`,
    )
  return { name: table.name, key: [...table.primaryKey], columns, ranges: hashed }
}

/** Compares the rows of a schema with what they were before its adoption, in the columns of that time, and writes nothing. */
export function verify(session: Session, before: Before, onProgress: Progress = () => undefined): Promise<Verified> {
  const names = new Set(before.tables.map(({ name }) => name))
  return inSnapshot(
    session,
    before.schema,
    ({ name, form }) => names.has(name) && form !== 'foreign',
    async (snapshot) => {
      const tables: VerifiedTable[] = []
      for (const [done, table] of before.tables.entries()) {
        onProgress({ done, total: before.tables.length })
        tables.push(await verifyTable(snapshot, table))
      }
      const { schema, takenAt, leftOut } = before
      return { schema, takenAt, isEqual: tables.every(isEqualTable), tables, leftOut }
    },
  )
}

const isEqualTable = ({ isMissing, missingColumns, different }: VerifiedTable): boolean =>
  !isMissing && missingColumns.length === 0 && different.length === 0

async function verifyTable(snapshot: Snapshot, before: BeforeTable): Promise<VerifiedTable> {
  const { name, key, columns } = before
  const table = snapshot.catalog.tables.find((one) => one.name === name && one.form !== 'foreign')
  const facts = {
    name,
    isMissing: table === undefined,
    rowsBefore: before.ranges.reduce((sum, { rows }) => sum + rows, 0),
    ranges: before.ranges.length,
  }
  if (table === undefined) return { ...facts, missingColumns: [], different: [], newRows: 0 }
  const tables = tablesOf(snapshot, table)
  const missingColumns = missingIn(tables, columns)
  if (missingColumns.length > 0) return { ...facts, missingColumns, different: [], newRows: 0 }
  const { ranges, newRows } = await hashRanges(snapshot.reader, { tables, key, columns }, before.ranges)
  const different = before.ranges.flatMap(({ first, last, rows, hash }, place) => {
    const now = ranges[place]
    return now?.rows === rows && now.hash === hash ? [] : [{ first, last, rowsBefore: rows, rowsNow: now?.rows ?? 0 }]
  })
  return { ...facts, missingColumns, different, newRows }
}

function tablesOf({ catalog, findQuarantine }: Snapshot, table: CatalogTable): Source['tables'] {
  const quarantine = findQuarantine(table.name)
  return [{ ...table, schema: catalog.schema }, ...(quarantine === undefined ? [] : [quarantine])]
}

/** The columns that the table lacks, and those that its quarantine lacks. */
const missingIn = ([table, ...moved]: Source['tables'], columns: readonly string[]): string[] => [
  ...lackedBy(table, columns),
  ...moved.flatMap((one) => lackedBy(one, columns).map((column) => `${one.name}.${column}`)),
]

const lackedBy = (table: QualifiedTable, columns: readonly string[]) =>
  columns.filter((column) => !table.columns.some(({ name }) => name === column))
