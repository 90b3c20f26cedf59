import type { Session } from '../../database/session.js'
import type { Finding } from '../findings.js'
import { readOnly } from '../read-only.js'
import type { CarriedTable } from './carried-table.js'
import { type EarlierPlatform, findEarlierPlatform } from './earlier-platform.js'
import { unfitRows } from './fitness.js'
import { findFunctionNames } from './move-schema.js'

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
  const reader = readOnly(session, 'pg_catalog')
  const tables: CarriedReport[] = []
  const findings: Finding[] = []
  for (const table of earlier.tables) {
    const [row] = await reader.query<{ rows: number; staying: number }>(
      `select pg_catalog.count(*)::float8 as rows, pg_catalog.count(*) filter (where not (${table.where?.holds ?? 'true'}))::float8 as staying
       ${table.rows}`,
    )
    tables.push({
      table: table.from.name,
      to: table.target.replaceAll('"', ''),
      rows: row?.rows ?? 0,
      sealed: table.sealed.map(({ from }) => from),
      staying: table.staying,
    })
    const shape = shapeFindings(table)
    findings.push(...shape)
    if (shape.length > 0) continue
    if (row !== undefined && row.staying > 0)
      findings.push({
        table: table.from.name,
        kind: 'staying',
        needs: 'attention',
        rows: { count: row.staying, sample: [] },
        message: `${table.from.name} has rows that stay in ${earlier.schema}: they ${table.where?.otherwise ?? ''}`,
      })
    const unfit = await unfitRows(reader, earlier.tables, table)
    findings.push(
      ...unfit.map((finding) => ({
        ...finding,
        needs: leave.includes(table.from.name) ? ('attention' as const) : finding.needs,
      })),
    )
  }
  return { schema: earlier.schema, tables, findings: [...findings, ...(await toKnow(session, earlier))] }
}

/** What has to be there before a row can be read. */
function shapeFindings({ from, missing, key }: CarriedTable): Finding[] {
  const finding = (message: string): Finding => ({ table: from.name, kind: 'shape', needs: 'mend', message })
  return [
    ...(from.primaryKey.length === 1 && from.primaryKey[0] === 'id'
      ? []
      : [finding(`the primary key of ${from.name} is to be the column id alone`)]),
    ...(['uuid', 'text'].includes(key.type)
      ? []
      : [finding(`the id of ${from.name} is ${key.type}, and is to be a uuid`)]),
    ...(missing.length === 0
      ? []
      : [finding(`${from.name} has no column from which ${missing.join(', ')} could be filled: add it`)]),
  ]
}

/** Columns with secrets of which nothing is carried. */
const secretName = /password|secret|token|connection_string/

async function toKnow(
  session: Session,
  { schema, catalog, stayingTables, isInTheWay }: EarlierPlatform,
): Promise<Finding[]> {
  const finding = (table: string, kind: string, message: string): Finding => ({
    table,
    kind,
    needs: 'attention',
    message,
  })
  const functions = isInTheWay ? await findFunctionNames(session) : []
  return [
    ...stayingTables.map(({ name, reason }) => finding(name, 'staying table', `${name} stays in ${schema}: ${reason}`)),
    ...catalog.tables.flatMap(({ name, columns }) => {
      const secrets = stayingTables.some((one) => one.name === name)
        ? columns.map((column) => column.name).filter((column) => secretName.test(column))
        : []
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
    ...functions.map((name) =>
      finding('', 'function', `the move makes ${name} again, since its text names the schema`),
    ),
    ...catalog.definerFunctions.map((name) =>
      finding('', 'definer function', `${name} runs with the rights of its owner, and stays with the earlier tables`),
    ),
  ]
}
