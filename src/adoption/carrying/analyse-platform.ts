import type { Session } from '../../database/session.js'
import type { Finding } from '../findings.js'
import type { CarriedTable } from './carried-table.js'
import { wholeReader } from './carrying-transaction.js'
import { type EarlierPlatform, findEarlierPlatform } from './earlier-platform.js'
import { unfitRows } from './fitness.js'
import { findNamingObjects } from './move-schema.js'

/** What becomes of one table of an earlier platform. */
export interface CarriedReport {
  readonly table: string
  readonly to: string
  readonly rows: number
  /** Secrets in clear that are sealed. */
  readonly sealed: readonly string[]
  /** Columns that have no place in tenantry, and stay where they are. */
  readonly staying: readonly string[]
}

export interface PlatformAnalysis {
  readonly schema: string
  readonly tables: readonly CarriedReport[]
  readonly findings: readonly Finding[]
}

/** Finds what an earlier platform has, and whether each row has a place in tenantry. Changes nothing. */
export async function analysePlatform(
  session: Session,
  schema: string,
  leave: readonly string[] = [],
): Promise<PlatformAnalysis> {
  const earlier = await findEarlierPlatform(session, schema)
  const reader = wholeReader(session)
  const tables: CarriedReport[] = []
  const findings: Finding[] = []
  for (const table of earlier.tables) {
    const name = table.from.name
    const [row] = await reader.query<{ rows: number }>(
      `select pg_catalog.count(*)::float8 as rows from ${table.source}`,
    )
    tables.push({
      table: name,
      to: `platform.${table.to}`,
      rows: row?.rows ?? 0,
      sealed: table.sealed.map(({ from }) => from),
      staying: table.staying,
    })
    const shape = shapeFindings(table)
    const found =
      shape.length > 0
        ? shape
        : [
            ...(await stayingRows(reader, earlier.schema, table)),
            ...(await unfitRows(reader, earlier, table).catch((error: unknown) => [unreadable(name, error)])),
          ]
    findings.push(
      ...found.map((finding) =>
        finding.needs === 'mend' && leave.includes(name) ? { ...finding, needs: 'attention' as const } : finding,
      ),
    )
  }
  return { schema: earlier.schema, tables, findings: [...findings, ...(await toKnow(session, earlier))] }
}

/** A value may have a type for which ours has no cast. */
const unreadable = (table: string, error: unknown): Finding => ({
  table,
  kind: 'unreadable',
  needs: 'mend',
  message: `${table} cannot be carried as it is: ${error instanceof Error ? error.message : String(error)}`,
})

/** Why a table cannot be carried at all. */
export function shapeFindings({ from, missing, lacking, key, isCatalog }: CarriedTable): Finding[] {
  const finding = (message: string): Finding => ({ table: from.name, kind: 'shape', needs: 'mend', message })
  return [
    ...(from.form === 'table' || from.form === 'unlogged'
      ? []
      : [finding(`${from.name} is ${from.form}: only plain tables are carried`)]),
    ...lacking.map((name) => finding(`${from.name} belongs to rows of ${name}, and there is no such table`)),
    ...(from.primaryKey.length === 1 && from.primaryKey[0] === 'id'
      ? []
      : [finding(`${from.name} needs a primary key of one column, id`)]),
    ...(key.type === 'uuid' || isCatalog ? [] : [finding(`${from.name}.id is of type ${key.type}; it must be uuid`)]),
    ...(missing.length === 0
      ? []
      : [finding(`${from.name} has no column from which ${missing.join(', ')} could be filled: add it`)]),
  ]
}

async function stayingRows(
  reader: Pick<Session, 'query'>,
  schema: string,
  { from, source, conditions }: CarriedTable,
): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { holds, otherwise, isFault } of conditions) {
    if (otherwise === undefined || isFault === true) continue
    const [row] = await reader.query<{ count: number }>(
      `select pg_catalog.count(*)::float8 as count from ${source} s where (${holds}) is not true`,
    )
    if (row !== undefined && row.count > 0)
      findings.push({
        table: from.name,
        kind: 'staying',
        needs: 'attention',
        rows: { count: row.count, sample: [] },
        message: `${from.name} has rows that stay in ${schema}: they ${otherwise}`,
      })
  }
  return findings
}

/** Columns with secrets of which nothing is carried. */
const secretName = /password|secret|token|connection_string|private|(?:^|_)key$|key_hash/

async function toKnow(
  session: Session,
  { schema, catalog, tables, stayingTables, isInTheWay }: EarlierPlatform,
): Promise<Finding[]> {
  const finding = (table: string, kind: string, message: string): Finding => ({
    table,
    kind,
    needs: 'attention',
    message,
  })
  const { functions, settings } = isInTheWay ? await findNamingObjects(session) : { functions: [], settings: [] }
  return [
    ...stayingTables.map(({ name, reason }) => finding(name, 'staying table', `${name} stays in ${schema}: ${reason}`)),
    ...catalog.tables.flatMap(({ name, columns }) => {
      const staying = tables.find(({ from }) => from.name === name)?.staying ?? columns.map((column) => column.name)
      const secrets = staying.filter((column) => secretName.test(column))
      return secrets.length === 0
        ? []
        : [
            finding(
              name,
              'secrets',
              `${name} keeps ${secrets.join(', ')} in clear: drop the table once nobody needs it`,
            ),
          ]
    }),
    ...catalog.tables
      .filter(({ triggers }) => triggers.some(({ isNeverSilent }) => isNeverSilent))
      .map(({ name }) =>
        finding(
          name,
          'trigger',
          `${name} has a trigger that always fires, also when contract empties secrets: look at what it writes`,
        ),
      ),
    ...functions.map(({ name, isClear }) =>
      finding(
        '',
        'function',
        isClear
          ? `move changes ${name}, which names the schema: its text gets the new name`
          : `${name} has the word platform in a form that move leaves as it is: look whether it means the schema`,
      ),
    ),
    ...tables
      .filter(({ sealed, from }) => sealed.length > 0 && from.views.length > 0)
      .map(({ from }) =>
        finding(
          from.name,
          'view',
          `${from.views.join(', ')} may show secrets of ${from.name}: refresh materialized views after contract`,
        ),
      ),
    ...settings.map((name) =>
      finding(
        '',
        'search path',
        `the search path of ${name} names the schema: set it to platform_before with the move`,
      ),
    ),
    ...catalog.definerFunctions.map((name) =>
      finding('', 'definer function', `${name} runs with the rights of its owner, and stays with the earlier tables`),
    ),
  ]
}
