import type { PgTable } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { placed, type PlacedTable, type Placement, strays } from '../access/distribution.js'
import { manifestOf } from '../access/manifest.js'
import { MigrationError } from '../core/errors.js'

export interface DistributionPlan {
  /** In the order of the statements: each table comes after those that it refers to. */
  readonly tables: readonly DistributedTable[]
  /** How many are distributed already. */
  readonly before: number
  /** The tables that stay on the coordinator alone. */
  readonly local: readonly LocalTable[]
}

export interface DistributedTable {
  readonly name: string
  readonly placement: Exclude<Placement, 'local'>
  readonly statement: string
}

export interface LocalTable {
  readonly name: string
  readonly reason: string
}

interface WantedTable extends PlacedTable {
  readonly wanted: Placement
  readonly isDeclared: boolean
}

/** What is left to distribute. Throws where a table is distributed in another way than its kind asks for. */
export function planDistribution(found: readonly PlacedTable[], declared: readonly PgTable[]): DistributionPlan {
  const tables = withWanted(found, declared)
  const others = tables.filter((table) => isDistributed(table) && table.placement !== table.wanted)
  if (others.length > 0) throw new MigrationError(otherwise(others))
  const away = strays(tables.filter(({ isDeclared }) => isDeclared))
  if (away.length > 0) throw new MigrationError(apart(away))
  const ordered = inOrder(tables)
  assertKept(tables, ordered)
  return {
    tables: ordered,
    before: tables.filter(isDistributed).length,
    local: tables
      .filter((table) => table.wanted === 'local')
      .map((table) => ({
        name: table.label,
        reason: table.isDeclared ? 'append-only, of no organization' : 'not declared',
      })),
  }
}

/**
 * What is left to distribute in a database that is distributed already; undefined in one that is not. Tables that are on the nodes stay as
 * they are, those too that only another build knows.
 */
export function planNewTables(
  found: readonly PlacedTable[],
  declared: readonly PgTable[],
): readonly DistributedTable[] | undefined {
  const tables = withWanted(found, declared)
  if (!tables.some((table) => table.isDeclared && isDistributed(table))) return undefined
  return inOrder(tables.filter((table) => isDistributed(table) || hasItsColumn(table)))
}

function withWanted(found: readonly PlacedTable[], declared: readonly PgTable[]): WantedTable[] {
  const wanted = new Map(
    manifestOf(declared).tables.map(({ schema, name, placement }) => [`${schema}.${name}`, placement] as const),
  )
  return found.map((table) => {
    const placement = wanted.get(`${table.schema}.${table.name}`)
    return { ...table, wanted: placement ?? 'local', isDeclared: placement !== undefined }
  })
}

/** False for a table that gets its column, and with it its kind, by a later migration. */
const hasItsColumn = ({ wanted, owners }: WantedTable) =>
  wanted === 'reference' || wanted === 'local' || owners.includes(wanted)

const isDistributed = ({ placement }: PlacedTable) => placement !== 'local'

const otherwise = (tables: readonly WantedTable[]): string =>
  [
    'nothing was done, because tables are distributed in another way than their kinds ask for:',
    ...tables.map(
      ({ label, placement, wanted }) => `- ${label} is ${placed(placement)}, and should be ${placed(wanted)}`,
    ),
    'Bring each back with `select undistribute_table(...)`, and distribute again',
  ].join('\n')

const apart = (tables: readonly WantedTable[]): string =>
  [
    'nothing was done, because tables lie apart from the others that are sharded by the same column, which `tenant move` would leave behind:',
    ...tables.map(({ label, placement }) => `- ${label}, ${placed(placement)}`),
    'Bring each back with `select undistribute_table(...)`, and distribute again',
  ].join('\n')

/** The cluster refuses a foreign key from a distributed table to a local one. */
function inOrder(tables: readonly WantedTable[]): DistributedTable[] {
  const done = tables.filter(isDistributed)
  let waiting = tables.filter((table) => !isDistributed(table) && table.wanted !== 'local')
  const ordered: DistributedTable[] = []
  while (waiting.length > 0) {
    const labels = new Set(done.map(({ label }) => label))
    const next = waiting.find(({ references }) => references.every((to) => labels.has(to)))
    if (next === undefined) throw new MigrationError(blocked(waiting, labels))
    // The tables with the same column share a group, so that the rows of an organization are on one node.
    ordered.push(
      asDistributed(
        next,
        done.find(({ placement, wanted }) => wanted === next.wanted && placement === wanted),
      ),
    )
    done.push({ ...next, placement: next.wanted })
    waiting = waiting.filter((table) => table !== next)
  }
  return ordered
}

/**
 * The server checks a foreign key of a table on the coordinator when its rows are written, but no longer when a row on a node is deleted. It
 * keeps those to tables that are on every node where it has placed the table itself.
 */
function assertKept(tables: readonly WantedTable[], ordered: readonly DistributedTable[]): void {
  const sharded = tables.filter(({ placement }) => placement === 'org_id' || placement === 'user_id')
  const away = new Set([...ordered.map(({ name }) => name), ...sharded.map(({ label }) => label)])
  const left = tables.filter(({ wanted, references }) => wanted === 'local' && references.some((to) => away.has(to)))
  if (left.length === 0) return
  throw new MigrationError(
    [
      'nothing was done, because tables that stay on the coordinator alone have foreign keys that a cluster does not keep:',
      ...left.map(
        ({ label, references }) => `- ${label} refers to ${references.filter((to) => away.has(to)).join(' and ')}`,
      ),
      'Declare each of these tables with its kind (declareTable), or drop the foreign key',
    ].join('\n'),
  )
}

function asDistributed({ label, wanted }: WantedTable, first: WantedTable | undefined): DistributedTable {
  const placement = wanted as Exclude<Placement, 'local'>
  const name = pg.escapeLiteral(label)
  if (placement === 'reference')
    return { name: label, placement, statement: `select pg_catalog.create_reference_table(${name})` }
  const group = pg.escapeLiteral(first?.label ?? 'none')
  const statement = `select pg_catalog.create_distributed_table(${name}, '${placement}', colocate_with => ${group})`
  return { name: label, placement, statement }
}

const blocked = (waiting: readonly WantedTable[], done: ReadonlySet<string>): string =>
  [
    'nothing was done, because tables refer to tables that stay on the coordinator alone:',
    ...waiting.map(
      ({ label, references }) => `- ${label} refers to ${references.filter((to) => !done.has(to)).join(' and ')}`,
    ),
    'Declare each of those with its kind (declareTable), or drop the foreign key',
  ].join('\n')
