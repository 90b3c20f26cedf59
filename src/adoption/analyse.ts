import { InvalidInputError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import { type Catalog, type CatalogTable, readCatalog } from './catalog.js'
import { catalogFindings } from './catalog-findings.js'
import { countCrossing, countDuplicates, countRows, type TableCounts, wordsIn } from './counts.js'
import type { Decisions, TableDecision, Way } from './decisions.js'
import type { Finding } from './findings.js'
import { Owners } from './owners.js'
import { polymorphicPairs, proposedOrganizations, rootOf, tableMeant, waysOf } from './ways.js'

/** What was found of a table. */
export interface AnalysedTable extends Partial<TableCounts> {
  readonly bytes: number
  /** Every way to its organization that its keys and columns have, the best one first. */
  readonly ways: readonly Way[]
}

export interface Analysis {
  /** The given ones, and those that the catalog leaves no doubt about. */
  readonly decisions: Decisions
  readonly tables: Readonly<Record<string, AnalysedTable>>
  readonly findings: readonly Finding[]
}

/**
 * Reads the catalog and the rows of a schema, and writes nothing. `given` are the decisions that somebody has taken already. Each table is
 * read once for itself and once for each of its foreign keys, in statements of their own, so that no snapshot is held for long.
 */
export async function analyse(
  session: Session,
  schema: string,
  given: Decisions | undefined,
  onProgress: (progress: { readonly done: number; readonly total: number }) => void = () => undefined,
): Promise<Analysis> {
  if (schema === 'platform')
    throw new InvalidInputError(
      '--schema',
      'platform is the schema of tenantry: where yours has that name, `alter schema platform rename to …` first',
    )
  await session.query('set session characteristics as transaction read only')
  const catalog = await readCatalog(session, schema)
  if (catalog.tables.length === 0) throw new InvalidInputError('--schema', `there are no tables in ${schema}`)
  const organizations = given?.organizations ?? proposedOrganizations(catalog) ?? null
  const ways = organizations === null ? new Map<string, readonly Way[]>() : waysOf(catalog, organizations)
  const tables = await decidedTables(
    session,
    catalog,
    { version: 1, schema, organizations, tables: given?.tables ?? {} },
    ways,
  )
  const decisions: Decisions = { version: 1, schema, organizations, tables }
  const owners = new Owners(catalog, decisions)
  const analysed: Record<string, AnalysedTable> = {}
  const findings: Finding[] = [...organizationFindings(decisions), ...unknownTables(catalog, decisions)]
  for (const [done, table] of catalog.tables.entries()) {
    onProgress({ done, total: catalog.tables.length })
    const facts = { bytes: table.bytes, ways: ways.get(table.name) ?? [] }
    const decision = tables[table.name]
    if (decision === undefined) findings.push(undecided(table, catalog))
    if (decision?.kind !== 'tenant' || table.form === 'foreign') {
      analysed[table.name] = facts
      continue
    }
    if (owners.ownerOf(table, 't') === undefined) findings.push(noWay(table))
    const counts = await countRows(session, owners, table)
    analysed[table.name] = { ...facts, ...counts }
    findings.push(...(await rowFindings(session, owners, table, decision, counts)))
  }
  return { decisions, tables: analysed, findings: [...findings, ...catalogFindings(catalog, decisions)] }
}

/** A table with a way needs no decision, and neither does that of the organizations. */
async function decidedTables(
  session: Session,
  catalog: Catalog,
  given: Decisions,
  ways: ReadonlyMap<string, readonly Way[]>,
): Promise<Record<string, TableDecision>> {
  // Without a prototype: a table may be called `constructor`.
  const decided = Object.assign(Object.create(null) as Record<string, TableDecision>, given.tables)
  const root = given.organizations === null ? undefined : rootOf(given.organizations)
  for (const { name } of catalog.tables) {
    if (decided[name] !== undefined) continue
    const [way] = ways.get(name) ?? []
    if (name === root?.table) decided[name] = { kind: 'organizations' }
    else if (way !== undefined) decided[name] = { kind: 'tenant', way }
  }
  // Their parents are decided first.
  for (const table of catalog.tables) {
    if (decided[table.name] !== undefined || root === undefined) continue
    const way = await wayByWord(session, catalog, { ...given, tables: decided }, table)
    if (way !== undefined) decided[table.name] = { kind: 'tenant', way }
  }
  return decided
}

/** Undefined where a word means no table, or one without organizations. */
async function wayByWord(
  session: Session,
  catalog: Catalog,
  decisions: Decisions,
  table: CatalogTable,
): Promise<Way | undefined> {
  const [pair, ...more] = polymorphicPairs(table)
  if (pair === undefined || more.length > 0) return undefined
  const owners = new Owners(catalog, decisions)
  const words = await wordsIn(session, owners, table, pair.type)
  const meant = words.map((word) => [word, tableMeant(word, catalog)] as const)
  const known = meant.filter(
    (one): one is [string, string] => one[1] !== undefined && owners.ownerOf(owners.tableOf(one[1]), 't') !== undefined,
  )
  if (words.length === 0 || known.length < words.length) return undefined
  return { polymorphic: { ...pair, tables: Object.fromEntries(known) } }
}

function organizationFindings({ organizations }: Decisions): Finding[] {
  if (organizations !== null) return []
  return [
    {
      kind: 'organizations',
      needs: 'decision',
      message:
        'it is not decided what becomes an organization: set "organizations" to a table, to "personal" for one of each person, or to "constant" for one that owns everything',
    },
  ]
}

/** Decisions about tables that are not there: somebody misspelt a name, or the table is gone. */
function unknownTables(catalog: Catalog, { tables }: Decisions): Finding[] {
  return Object.keys(tables)
    .filter((name) => !catalog.tables.some((table) => table.name === name))
    .map((table) => ({
      table,
      kind: 'unknown table',
      needs: 'decision',
      message: `there is no table ${table}: take its decision out`,
    }))
}

function undecided(table: CatalogTable, catalog: Catalog): Finding {
  const pairs = polymorphicPairs(table).map(({ type, id }) => `${type} with ${id}`)
  const refers = catalog.tables.filter(({ foreignKeys }) =>
    foreignKeys.some(({ target }) => target.table === table.name),
  )
  const hints = [
    ...(pairs.length > 0 ? [`it names other rows by ${pairs.join(' and ')}: perhaps a "polymorphic" way`] : []),
    ...(refers.length > 0
      ? [`${refers.map((one) => one.name).join(', ')} refer to it: perhaps "shared" or "people"`]
      : []),
  ]
  return {
    table: table.name,
    kind: 'undecided',
    needs: 'decision',
    message: [`no way leads from ${table.name} to an organization`, ...hints].join('; '),
  }
}

const noWay = ({ name }: CatalogTable): Finding => ({
  table: name,
  kind: 'undecided',
  needs: 'decision',
  message: `${name} is decided to be "tenant", and has no way, or one to a table without organizations`,
})

async function rowFindings(
  session: Session,
  owners: Owners,
  table: CatalogTable,
  decision: TableDecision,
  { nameless, unreached }: TableCounts,
): Promise<Finding[]> {
  const { name } = table
  const needs = decision.unreached === undefined ? 'decision' : 'attention'
  const findings: Finding[] = []
  if (nameless.count > 0)
    findings.push({
      table: name,
      kind: 'nameless',
      needs,
      rows: nameless,
      message: `${name} has rows that name no organization: perhaps they are everybody's`,
    })
  if (unreached.count > 0)
    findings.push({
      table: name,
      kind: 'unreached',
      needs,
      rows: unreached,
      message: `${name} has rows whose way ends before an organization`,
    })
  for (const key of table.foreignKeys) {
    const rows = await countCrossing(session, owners, table, key)
    if (rows.count === 0) continue
    const isAllowed = decision.crossing?.includes(key.name) ?? false
    findings.push({
      table: name,
      kind: 'crossing',
      needs: isAllowed ? 'attention' : 'decision',
      rows,
      message: `by ${key.name}, ${name} has rows that refer to ${key.target.table} of another organization`,
    })
  }
  for (const columns of decision.unique ?? []) {
    const rows = await countDuplicates(session, owners, table, columns)
    if (rows.count > 0)
      findings.push({
        table: name,
        kind: 'duplicates',
        needs: 'mend',
        rows,
        message: `${name} has rows with the same ${columns.join(', ')} as another row of their organization`,
      })
  }
  return findings
}
