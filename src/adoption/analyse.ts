import { InvalidInputError } from '../core/errors.js'
import { isFilteredRows } from '../database/row-security.js'
import type { Session } from '../database/session.js'
import { type Catalog, type CatalogTable, readCatalog } from './catalog.js'
import { catalogFindings } from './catalog-findings.js'
import {
  countCrossing,
  countDiffering,
  countDuplicates,
  countHolding,
  countRows,
  countUnresolved,
  type TableCounts,
} from './counts.js'
import {
  completeDecision,
  type Decisions,
  type GivenDecisions,
  type Organizations,
  personColumn,
  type TableDecision,
  type Way,
} from './decisions.js'
import { takenExternalIds } from './external-ids.js'
import type { Finding } from './findings.js'
import { type LockEstimate, lockEstimates } from './lock-estimates.js'
import { obstacles } from './refusals.js'
import { takenSlugs } from './taken-slugs.js'
import { adoptedSchema, constantSlugs } from './adopted-schema.js'
import { assertUnique, Owners } from './owners.js'
import { propose, type Proposals } from './proposals.js'
import { type Reader, readOnly } from './read-only.js'
import { polymorphicPairs, proposedOrganizations, rootOf } from './ways.js'

/** What was found of a table. */
export interface FoundTable extends Partial<TableCounts> {
  /** What it is taken for: as it is decided, or else as it is proposed. Undefined while neither is. */
  readonly kind: TableDecision['kind'] | undefined
  readonly way: Way | undefined
  readonly isProposed: boolean
  readonly bytes: number
  /** All ways that were found when the table got its way, the best one first. Empty where the way was decided. */
  readonly ways: readonly Way[]
  /** Of a table that can be adopted: how long the steps hold it. */
  readonly locks?: readonly LockEstimate[]
}

export interface Analysis {
  /** As they were given. What is proposed is not among them, so that it may be another the next time. */
  readonly decisions: GivenDecisions
  /** The same, with what is proposed where nobody has decided otherwise. */
  readonly decided: Decisions
  readonly catalog: Catalog
  readonly found: {
    readonly organizations: Organizations | null
    readonly tables: Readonly<Record<string, FoundTable>>
    readonly findings: readonly Finding[]
  }
}

type Progress = (progress: { readonly done: number; readonly total: number }) => void

/**
 * Reads the catalog and the rows of a schema, and writes nothing. `given` are the decisions that somebody has taken already. Each table is
 * read once to count its rows, and again for each of its foreign keys and for much else that is counted, in statements of their own, so that
 * no snapshot is held for long.
 */
export async function analyse(
  session: Session,
  schema: string,
  given: GivenDecisions = { version: 1, schema, organizations: null, tables: {} },
  onProgress: Progress = () => undefined,
): Promise<Analysis> {
  if (schema === 'platform')
    throw new InvalidInputError(
      '--schema',
      'platform is the schema of tenantry. Where yours has that name: tenantry adopt platform analyse, if it has organizations and projects of an earlier platform, and otherwise `alter schema platform rename to …`',
    )
  const catalog = asBefore(await readCatalog(readOnly(session, 'pg_catalog'), schema))
  if (catalog.tables.length === 0) throw new InvalidInputError('--schema', `there are no tables in ${schema}`)
  const organizations = given.organizations ?? proposedOrganizations(catalog) ?? null
  if (organizations === null) {
    const found = { organizations, tables: {}, findings: [undecidedOrganizations] }
    return { decisions: given, decided: { ...given, tables: {} }, catalog, found }
  }
  assertRoot(catalog, organizations)
  const reader = readOnly(session)
  const { tables, ways } = await propose(reader, catalog, organizations, given.tables)
  const decided = { ...given, organizations, tables }
  const found = await find(reader, catalog, { given, decided, organizations, ways }, onProgress)
  return { decisions: given, decided, catalog, found }
}

/** Ways by words name rows by the key that they had before the swap. */
const asBefore = (catalog: Catalog): Catalog => ({
  ...catalog,
  tables: catalog.tables.map((table) =>
    table.isAdopted ? { ...table, primaryKey: table.primaryKey.filter((column) => column !== 'org_id') } : table,
  ),
})

/** What was given, and the same with what is proposed. */
interface Decided extends Pick<Proposals, 'ways'> {
  readonly given: GivenDecisions
  readonly decided: Decisions
  readonly organizations: Organizations
}

async function find(
  session: Reader,
  catalog: Catalog,
  { given, decided, organizations, ways }: Decided,
  onProgress: Progress,
): Promise<Analysis['found']> {
  const { tables } = decided
  const owners = new Owners(catalog, decided)
  const found = Object.create(null) as Record<string, FoundTable>
  const findings: Finding[] = unknownTables(catalog, given)
  const parts = new Map(Object.entries(given.tables))
  for (const [done, table] of catalog.tables.entries()) {
    onProgress({ done, total: catalog.tables.length })
    const { name, bytes } = table
    const decision = tables[name]
    const facts = {
      kind: decision?.kind,
      way: decision?.way,
      isProposed: completeDecision(parts.get(name) ?? {}) === undefined,
      bytes,
      ways: ways.get(name) ?? [],
    }
    findings.push(...kindFindings(table, decision, catalog, organizations))
    found[name] = facts
    if (decision?.kind !== 'tenant' || table.form === 'foreign') continue
    if (owners.ownerOf(table, 't') === undefined) findings.push(noWay(table, decision))
    try {
      const counts = await countRows(session, owners, table)
      found[name] = { ...facts, ...counts }
      if (facts.isProposed) findings.push(...(await waysFindings(session, owners, table, facts.ways, counts)))
      findings.push(...(await rowFindings(session, owners, table, decision, counts)))
    } catch (error) {
      if (error instanceof InvalidInputError) throw error
      findings.push(unreadable(table, error))
    }
  }
  findings.push(...catalogFindings(catalog, decided))
  if (Object.values(tables).every(({ kind }) => kind !== 'tenant')) findings.push(nothingToAdopt(catalog))
  // The ids of organizations do not matter for the names and keys of tables.
  const adopted = adoptedSchema(catalog, decided, new Map(constantSlugs(decided).map((slug) => [slug, ''])))
  const leftOut = tablesToMend(catalog, findings)
  findings.push(
    ...obstacles(catalog, decided, adopted, leftOut),
    ...(await takenExternalIds(session, adopted)),
    ...(await takenSlugs(session, adopted)),
  )
  for (const table of adopted.tables.filter(({ name }) => !leftOut.has(name))) {
    const facts = found[table.name]
    if (facts?.readMs !== undefined) found[table.name] = { ...facts, locks: lockEstimates(table, facts.readMs) }
  }
  return { organizations, tables: found, findings }
}

/** What is to be mended changes them, and a step has changed those that are adopted. */
const tablesToMend = (catalog: Catalog, findings: readonly Finding[]): ReadonlySet<string> =>
  new Set([
    ...findings.flatMap(({ table, needs, rows }) =>
      table !== undefined && needs === 'mend' && rows === undefined ? [table] : [],
    ),
    ...catalog.tables.filter(({ isAdopted }) => isAdopted).map(({ name }) => name),
  ])

const nothingToAdopt = ({ schema }: Catalog): Finding => ({
  kind: 'nothing to adopt',
  needs: 'decision',
  message: `no table of ${schema} has the kind "tenant"`,
})

const undecidedOrganizations: Finding = {
  kind: 'organizations',
  needs: 'decision',
  message:
    'it is not decided what becomes an organization: set "organizations" to a table, to "personal" for one of each person, or to "constant" for one that owns everything',
}

function assertRoot(catalog: Catalog, organizations: Organizations): void {
  const root = rootOf(organizations)
  if (root === undefined) return
  const table = catalog.tables.find(({ name }) => name === root.table)
  if (table === undefined)
    throw new InvalidInputError('organizations', `there is no table ${root.table} in ${catalog.schema}`)
  assertUnique(table, root.id)
}

/** Decisions about tables that are not there: somebody misspelt a name, or the table is gone. */
function unknownTables(catalog: Catalog, { tables }: GivenDecisions): Finding[] {
  return Object.keys(tables)
    .filter((name) => !catalog.tables.some((table) => table.name === name))
    .map((table) => ({
      table,
      kind: 'unknown table',
      needs: 'decision',
      message: `there is no table ${table}: take its decision out`,
    }))
}

/** Whether the kind of the table is decided, and fits what becomes an organization. */
function kindFindings(
  table: CatalogTable,
  decision: TableDecision | undefined,
  catalog: Catalog,
  organizations: Organizations,
): Finding[] {
  if (decision === undefined) return [undecided(table, catalog)]
  const isRoot = rootOf(organizations)?.table === table.name
  if (isRoot === (decision.kind === 'organizations')) return []
  const message = isRoot
    ? `${table.name} becomes the organizations, and its kind is decided to be "${decision.kind}"`
    : `the kind of ${table.name} is decided to be "organizations", and others become the organizations`
  return [{ table: table.name, kind: 'organizations', needs: 'decision', message }]
}

function undecided(table: CatalogTable, catalog: Catalog): Finding {
  const pairs = polymorphicPairs(table).map(({ type, id }) => `${type} with ${id}`)
  const refers = catalog.tables.filter(({ foreignKeys }) =>
    foreignKeys.some(({ target }) => target.schema === catalog.schema && target.table === table.name),
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

const noWay = ({ name }: CatalogTable, { way }: TableDecision): Finding => ({
  table: name,
  kind: 'undecided',
  needs: 'decision',
  message:
    way === undefined
      ? `${name} is decided to be "tenant", and has no way`
      : `the way of ${name}, ${JSON.stringify(way)}, leads to a table whose rows have no organization: give that table the kind "tenant", or ${name} another way`,
})

/** Several foreign keys need no decision where their rows agree: from `prove` on they have to. Nothing makes several columns agree. */
async function waysFindings(
  session: Reader,
  owners: Owners,
  table: CatalogTable,
  [, ...others]: readonly Way[],
  { rows: all }: TableCounts,
): Promise<Finding[]> {
  if (others.length === 0) return []
  const { name } = table
  const rows = await countDiffering(session, owners, table, others)
  const areKept = others.every((way) => typeof way === 'object' && 'parent' in way)
  if (rows.count === 0 && all > 0 && areKept) return []
  const agree = rows.count === 0 ? '' : ', which do not agree about all rows'
  return [
    {
      table: name,
      kind: 'several ways',
      needs: 'decision',
      ...(rows.count > 0 && { rows }),
      message: `${name} leads to an organization by several ways${agree}, and they stand in "found": say which one counts, or list them in "either"`,
    },
  ]
}

const unreadable = ({ name }: CatalogTable, error: unknown): Finding => ({
  table: name,
  kind: 'unreadable',
  needs: 'mend',
  message: isFilteredRows(error)
    ? `row security hides rows of ${name} or of what it refers to from this login: connect as the owner of the tables`
    : `${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
})

async function rowFindings(
  session: Reader,
  owners: Owners,
  table: CatalogTable,
  decision: TableDecision,
  { nameless, unreached }: TableCounts,
): Promise<Finding[]> {
  const { name } = table
  const { unreached: resolution } = decision
  const person = personColumn(resolution)
  if (person !== undefined) owners.peopleOf(table)
  for (const name of decision.crossing ?? []) owners.assertKey(table, name, 'crossing')
  const needs = resolution === undefined ? 'decision' : 'attention'
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
  if (person !== undefined) {
    const rows = await countUnresolved(session, owners, table)
    if (rows.count > 0)
      findings.push({
        table: name,
        kind: 'unresolved',
        needs: 'decision',
        rows,
        message: `${name} has rows without an organization and without a person in ${person}`,
      })
  }
  for (const key of table.foreignKeys) {
    const holding = await countHolding(session, owners, table, key)
    if (holding.count > 0)
      findings.push({
        table: name,
        kind: 'holding',
        needs: 'decision',
        rows: holding,
        message: `by ${key.name}, ${name} has rows that stay and refer to rows of ${key.target.table} that are to be put aside: decide another "unreached" of ${key.target.table}, or mend the rows`,
      })
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
        message: `${name} has rows with the same ${columns.join(', ')} as another row of their organization: change or merge them, or take ${columns.join(', ')} out of "unique", so that the keys of the table stay as they are beside the organization`,
      })
  }
  return findings
}
