import { MigrationError } from '../../core/errors.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import type { Finding } from '../findings.js'
import type { CarriedTable } from './carried-table.js'
import { calmly } from './carrying.js'
import { wholeReader } from './carrying-transaction.js'
import { type EarlierPlatform, findEarlierPlatform } from './earlier-platform.js'
import { unfitRows } from './fitness.js'
import { grantToSilence } from '../silence.js'
import { tablesThatMayStay } from './leaves.js'
import { findNamingObjects } from './move-schema.js'
import { missingStatisticsRight } from './old-statistics.js'
import { unemptyable } from './placeholder.js'
import { foreignTables } from './secrets-in-clear.js'

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
export const analysePlatform = (
  session: Session,
  schema: string,
  leave: readonly string[] = [],
): Promise<PlatformAnalysis> =>
  calmly(session, () => analyse(withContext(session, 'the earlier tables'), schema, leave))

async function analyse(session: Session, schema: string, leave: readonly string[]): Promise<PlatformAnalysis> {
  const earlier = await findEarlierPlatform(session, schema)
  const reader = wholeReader(session)
  const tables: CarriedReport[] = []
  const findings: Finding[] = []
  for (const name of leave)
    if (!earlier.tables.some(({ from }) => from.name === name))
      throw new MigrationError(`--leave ${name}: there is no such table among those that are carried`)
  const mayStay = tablesThatMayStay(earlier.tables, leave)
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
    const found = shape.length > 0 ? shape : await fitnessOf(reader, earlier, table, mayStay)
    findings.push(
      ...found.map((finding) =>
        finding.needs === 'mend' && mayBeLeft.has(finding.kind) && leave.includes(name)
          ? { ...finding, needs: 'attention' as const }
          : finding,
      ),
    )
  }
  return { schema: earlier.schema, tables, findings: [...findings, ...(await toKnow(session, earlier))] }
}

/** The kinds of findings that --leave answers. */
const mayBeLeft = new Set(['shape', 'unfit', 'unreadable'])

async function fitnessOf(
  reader: Pick<Session, 'query'>,
  earlier: EarlierPlatform,
  table: CarriedTable,
  mayStay: ReadonlySet<string>,
): Promise<Finding[]> {
  try {
    return [
      ...(await stayingRows(reader, earlier.schema, table)),
      ...(await unfitRows(reader, earlier, table, mayStay)),
      ...(await unemptyable(reader, table)),
    ]
  } catch (error) {
    return [unreadable(table.from.name, error)]
  }
}

/** A value may have a form, or a column a type, for which ours has no cast. */
function unreadable(table: string, error: unknown): Finding {
  const text = error instanceof Error ? error.message : String(error)
  // 42: no row of the table can be read.
  const isWhole = /\(42\w{3}\)/.test(text)
  return {
    table,
    kind: isWhole ? 'type' : 'unreadable',
    needs: 'mend',
    message: `${table} cannot be carried as it is: ${text}${isWhole ? '. Change the type of the column, or rename the table: one of another name is not carried' : ''}`,
  }
}

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
    // The operators of the cursor would be those of another type.
    ...(from.columns.some(({ name, operators }) => name === key.name && operators !== null)
      ? [finding(`${from.name}.id is of type ${key.type}, which has an order of its own; it must be uuid or text`)]
      : []),
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

/** Views that read a column with secrets. */
async function viewsOfSecrets(
  session: Session,
  tables: readonly CarriedTable[],
): Promise<{ readonly table: string; readonly view: string; readonly isStored: boolean }[]> {
  const found = []
  for (const { from, source, sealed } of tables.filter((table) => table.sealed.length > 0)) {
    const rows = await session.query<{ view: string; isStored: boolean }>(
      `select distinct v.oid::pg_catalog.regclass::text as view, v.relkind = 'm' as "isStored" from pg_catalog.pg_depend d
       join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and r.oid = d.objid
       join pg_catalog.pg_class v on v.oid = r.ev_class
       join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
       where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = $1::pg_catalog.regclass and a.attname = any ($2::text[]) order by 1`,
      [source, sealed.map((column) => column.from)],
    )
    found.push(...rows.map((row) => ({ table: from.name, ...row })))
  }
  return found
}

async function withoutSubscription(session: Session, tables: readonly CarriedTable[]): Promise<number> {
  const invoices = tables.find(({ to }) => to === 'invoices')
  if (invoices === undefined || shapeFindings(invoices).length > 0) return 0
  const number = invoices.columns.find(({ name }) => name === 'number')?.value
  if (number === undefined) return 0
  const subscriptions = tables.find(({ to }) => to === 'subscriptions')?.source
  const [row] = await wholeReader(session)
    .query<{ count: number }>(
      `select pg_catalog.count(distinct s.organization_id)::float8 as count from ${invoices.source} s where ${number} is not null
       ${subscriptions === undefined ? '' : `and not exists (select from ${subscriptions} b where b.organization_id = s.organization_id)`}`,
    )
    // Told as a fault of its table.
    .catch(() => [])
  return row?.count ?? 0
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
  const hasSecrets = tables.some(({ sealed }) => sealed.length > 0)
  const grant = hasSecrets ? await grantToSilence(session) : undefined
  const oldStatistics = hasSecrets ? await missingStatisticsRight(session) : []
  const foreign = await foreignTables(session, tables)
  const uncounted = await withoutSubscription(session, tables)
  const { functions, settings } = isInTheWay ? await findNamingObjects(session) : { functions: [], settings: [] }
  return [
    ...stayingTables.map(({ name, reason }) => finding(name, 'staying table', `${name} stays in ${schema}: ${reason}`)),
    ...catalog.tables.flatMap(({ name, columns }) => {
      const carried = tables.filter((table) => table.from.name === name && shapeFindings(table).length === 0)
      const staying = carried[0]?.staying ?? columns.map((column) => column.name)
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
    ...(grant === undefined
      ? []
      : [
          finding(
            '',
            'right',
            `contract empties secrets while triggers are silent: let a superuser run \`${grant}\` before`,
          ),
        ]),
    ...(foreign.length === 0
      ? []
      : [
          finding(
            '',
            'right',
            `contract writes tables with secrets anew, which only the owner may: take the steps as a member of the role that owns ${foreign.join(', ')}`,
          ),
        ]),
    ...(oldStatistics.length === 0
      ? []
      : [
          finding(
            '',
            'right',
            `contract leaves secrets in old versions of statistics, which only the owner of the database and superusers may remove: let one of them run ${oldStatistics.map((one) => `\`${one}\``).join(' and ')} in this database after it`,
          ),
        ]),
    ...(uncounted === 0
      ? []
      : [
          finding(
            'invoices',
            'numbers',
            `organizations have numbered invoices and no subscription: ${uncounted}. A subscription counts the invoices, and one that is made later begins at 1`,
          ),
        ]),
    ...functions.map(({ name, isClear, isWhole, owner }) =>
      finding(
        '',
        'function',
        isClear
          ? `move changes ${name}, which names the schema: its text gets the new name${isWhole ? '' : '. It has the word platform also in a form that move leaves as it is: look whether it means the schema'}${owner === null ? '' : `. It belongs to ${owner}: connect as a member of that role`}`
          : `${name} has the word platform in a form that move leaves as it is: look whether it means the schema`,
      ),
    ),
    ...(await viewsOfSecrets(session, tables)).map(({ table, view, isStored }) =>
      finding(
        table,
        'view',
        isStored
          ? `${view} holds secrets of ${table}: refresh it after contract`
          : `${view} shows secrets of ${table}, which are empty after contract`,
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
