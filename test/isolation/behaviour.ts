import { getTableColumns } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { newId } from '../../src/core/ids.js'
import { quoted } from '../../src/core/statements/column-plan.js'
import { type Grant, grantsOf } from '../../src/access/grants.js'
import { foreignKeysOf, nameOf, type Rows, sqlOf } from '../support/every-table.js'
import { platformTables } from '../../src/schema/tables.js'
import { type Actor, type Attempt, orgOf, type Outcome, personOf, type Statement } from './attempts.js'

/**
 * What the behaviour of a table is tried with. `theirs` are `ours` to the last id, but another organization's and person's; the
 * strangers' ids are nobody else's.
 */
export interface Setting {
  readonly attempt: Attempt
  readonly ours: Rows
  readonly theirs: Rows
  readonly strangers: Rows
}

/** In which ways a table behaves otherwise than it must, in words. */
export type Faults = (setting: Setting, table: PgTable) => Promise<string[]>

/** Whose the rows of a table are, as its policy for the application tells. */
interface Owner {
  readonly column: string
  readonly actor: Actor
  readonly of: (rows: Rows) => string
  readonly unbound: string
}

export function ownerOf(table: PgTable): Owner | undefined {
  const policies = new Set(getTableConfig(table).policies.map(({ name }) => name))
  const names = Object.values(getTableColumns(table)).map((column) => column.name)
  const column = (name: string) => (names.includes(name) ? name : 'id')
  if (policies.has('org_isolation'))
    return { column: column('org_id'), actor: 'org', of: orgOf, unbound: 'no organization is bound' }
  if (policies.has('user_access'))
    return { column: column('user_id'), actor: 'person', of: personOf, unbound: 'no user is bound' }
  return undefined
}

/** Those whose rows belong to an organization or a person. */
export const ownedTables = platformTables.filter((table) => ownerOf(table) !== undefined)

export const rowOf = (rows: Rows, table: PgTable) => rows.get(nameOf(table)) ?? {}
export const mayInsert = (table: PgTable) => grantsOf(table).tenantry_app.insert.length > 0

const nobodys = 'its rows are bound to nobody'

/** Nothing can be done while nobody is bound. */
export const unboundFaults: Faults = async ({ attempt, ours }, table) => {
  const owner = ownerOf(table)
  if (owner === undefined) return [nobodys]
  const faults: string[] = []
  for (const [what, allowed, statement] of statementsOn(table, owner, ours)) {
    const outcome = await attempt('unbound', statement)
    // A right that the role has not may be denied before anybody asks who is bound, or after: planning asks too.
    const refused = outcome.error === owner.unbound || (!allowed && isDenied(outcome))
    if (outcome.code !== '42501' || !refused) faults.push(`unbound ${what}: ${told(outcome)}`)
  }
  return faults
}

function statementsOn(table: PgTable, owner: Owner, rows: Rows): [string, boolean, Statement][] {
  const grant = grantsOf(table).tenantry_app
  const [column] = grant.update
  return [
    ['select', true, { text: `select ${owner.column} from ${sqlOf(table)}` }],
    ['insert', grant.insert === '*', insertOf(table, rowOf(rows, table))],
    ['delete', grant.delete, { text: `delete from ${sqlOf(table)}` }],
    ...(column === undefined ? [] : [['update', true, changing(table, column)] as [string, boolean, Statement]]),
  ]
}

/** Of what is bound, the rows are seen, changed and deleted; another's can be neither, nor be inserted. */
export const ownershipFaults: Faults = async ({ attempt, ours, theirs }, table) => {
  const owner = ownerOf(table)
  if (owner === undefined) return [nobodys]
  const { column, actor } = owner
  const [mine, others] = [owner.of(ours), owner.of(theirs)]
  const grant = grantsOf(table).tenantry_app
  const faults: string[] = []
  const expectThat = (good: boolean, what: string, outcome: Outcome) => {
    if (!good) faults.push(`${what}: ${told(outcome)}`)
  }

  const seen = await attempt(actor, { text: `select ${column} as owner from ${sqlOf(table)}` })
  expectThat(seen.rows.length === 1 && seen.rows[0]?.owner === mine, 'seen', seen)
  const [changeable] = grant.update
  if (changeable !== undefined) {
    const text = `${changing(table, changeable).text} where ${column} = $1`
    const own = await attempt(actor, { text, values: [mine] })
    expectThat(own.rowCount === 1, 'own row changed', own)
    const other = await attempt(actor, { text, values: [others] })
    expectThat(other.error === undefined && other.rowCount === 0, "another's row changed", other)
  }
  if (grant.delete) {
    const text = `delete from ${sqlOf(table)} where ${column} = $1`
    const own = await attempt(actor, { text, values: [mine] })
    // A row that is referred to cannot go, which is a refusal by another wall than the one that is tried.
    expectThat(own.rowCount === 1 || own.code === '23503', 'own row deleted', own)
    const other = await attempt(actor, { text, values: [others] })
    expectThat(other.error === undefined && other.rowCount === 0, "another's row deleted", other)
  }
  if (mayInsert(table)) {
    const row =
      column === 'id' ? { ...otherNames(rowOf(theirs, table)), email: 'another@example.com' } : rowOf(theirs, table)
    const inserted = await attempt(actor, insertOf(table, row))
    const refusal = `new row violates row-level security policy for table "${nameOf(table)}"`
    expectThat(inserted.error === refusal, "another's row inserted", inserted)
  }
  return faults
}

/** No foreign key of both columns leads into another organization. */
export const referenceFaults: Faults = async ({ attempt, ours, strangers }, table) => {
  const faults: string[] = []
  for (const { columns, target, targetColumns } of foreignKeysOf(table)) {
    const [, column] = columns
    if (column === undefined) continue
    const theirs = strangers.get(target)?.[targetColumns[1] ?? '']
    // A word that every organization has, such as a role's key, is one of the organization's own.
    const foreign = theirs === rowOf(ours, table)[column] ? 'elsewhere' : theirs
    // Without the twin, if nothing holds it, so that no unique key speaks before the foreign key.
    const outcome = await attempt(
      mayInsert(table) ? 'org' : 'owner',
      { text: `delete from ${sqlOf(table)} where org_id = $1`, values: [orgOf(ours)] },
      insertOf(table, { ...otherNames(rowOf(ours, table)), [column]: foreign }),
    )
    if (outcome.code !== '23503') faults.push(`${column} leads elsewhere: ${told(outcome)}`)
  }
  return faults
}

/** The row under another id and other names. */
function otherNames(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const others = { id: newId(), name: 'another', slug: 'another', username: 'another', ref: 'another' }
  return { ...row, ...Object.fromEntries(Object.entries(others).filter(([name]) => name in row)) }
}

/** Both roles may do what they are granted, column by column, and nothing else. */
export const rightFaults: Faults = async (setting, table) => {
  const grants = grantsOf(table)
  return [
    ...(await faultsOfGrant(setting, table, ownerOf(table)?.actor ?? 'org', grants.tenantry_app)),
    ...(await faultsOfGrant(setting, table, 'system', grants.tenantry_system)),
  ]
}

async function faultsOfGrant({ attempt }: Setting, table: PgTable, actor: Actor, grant: Grant): Promise<string[]> {
  const name = sqlOf(table)
  const within = (columns: '*' | readonly string[], column: string) => columns === '*' || columns.includes(column)
  const columns = Object.values(getTableColumns(table)).filter(({ generated }) => generated === undefined)
  const tries = [
    ...columns.flatMap(({ name: column }) => [
      [`select ${column}`, within(grant.select, column), `select ${quoted(column)} from ${name} where false`],
      [`insert ${column}`, within(grant.insert, column), `insert into ${name} (${quoted(column)}) values (default)`],
      [`update ${column}`, within(grant.update, column), `update ${name} set ${quoted(column)} = default where false`],
    ]),
    ['delete', grant.delete, `delete from ${name} where false`],
    ['truncate', false, `truncate ${name}`],
  ] as [string, boolean, string][]
  const denied = await areDenied(
    attempt,
    actor,
    tries.map(([, , text]) => text),
  )
  return tries.flatMap(([what, allowed], index) =>
    denied[index] === allowed ? [`${actor} ${allowed ? 'cannot' : 'can'} ${what}`] : [],
  )
}

/** Which of some statements are refused for want of a right. In one block, because they are a hundred for a table. */
async function areDenied(attempt: Attempt, actor: Actor, statements: readonly string[]): Promise<boolean[]> {
  const list = statements.map((text) => `'${text.replaceAll("'", "''")}'`).join(', ')
  const outcome = await attempt(actor, {
    text: `do $block$
      declare
        statement text;
        answers text := '';
      begin
        foreach statement in array array[${list}] loop
          begin
            execute statement;
            answers := answers || 'y';
          exception when others then
            answers := answers || case when sqlerrm like 'permission denied for %' then 'n' else 'y' end;
          end;
        end loop;
        raise exception using message = 'answers ' || answers;
      end $block$`,
  })
  const answers = /^answers ([yn]+)$/.exec(outcome.error ?? '')?.[1]
  if (answers === undefined) throw new Error(`the rights were not told: ${told(outcome)}`)
  return Array.from(answers, (answer) => answer === 'n')
}

/** The system's login sees everybody's rows. */
export const systemFaults: Faults = async ({ attempt, ours, theirs }, table) => {
  if (getTableConfig(table).policies.length === 0) return []
  const owner = ownerOf(table)
  if (owner === undefined) {
    const all = await attempt('system', { text: `select from ${sqlOf(table)}` })
    return all.rowCount > 0 ? [] : [`the system sees nothing: ${told(all)}`]
  }
  const seen = await attempt('system', { text: `select ${owner.column} as owner from ${sqlOf(table)}` })
  const owners = new Set(seen.rows.map((row) => row.owner))
  return [ours, theirs].every((rows) => owners.has(owner.of(rows))) ? [] : [`the system sees not all: ${told(seen)}`]
}

/** A partition can be reached by nobody but through its table. Gives the statements that it does not refuse. */
export async function partitionFaults({ attempt }: Setting, partition: string): Promise<string[]> {
  const statements = [
    `select from ${partition}`,
    `insert into ${partition} default values`,
    `update ${partition} set org_id = default where false`,
    `delete from ${partition}`,
    `truncate ${partition}`,
  ]
  const open = async (actor: Actor) => {
    const denied = await areDenied(attempt, actor, statements)
    return statements.filter((_, index) => denied[index] === false).map((text) => `${actor}: ${text}`)
  }
  return [...(await open('org')), ...(await open('system'))]
}

/**
 * Row security of a partition holds alone: a login with every right on it sees and inserts there only what it could through the
 * table, and the statistics of its columns stay hidden.
 */
export const openPartitionFaults =
  (partition: string): Faults =>
  async ({ attempt, ours, theirs }, table) => {
    const faults: string[] = []
    const expectThat = (good: boolean, what: string, outcome: Outcome) => {
      if (!good) faults.push(`${what}: ${told(outcome)}`)
    }
    const inserted = (rows: Rows) => {
      const { text, values } = insertOf(table, rowOf(rows, table))
      return attempt(
        'org',
        { text: `delete from ${partition}` },
        { text: text.replace(sqlOf(table), partition), ...(values !== undefined && { values }) },
      )
    }
    const seen = await attempt('org', { text: `select org_id from ${partition}` })
    expectThat(seen.rows.length === 1 && seen.rows[0]?.org_id === orgOf(ours), 'seen', seen)
    const own = await inserted(ours)
    expectThat(own.rowCount === 1, 'own row inserted', own)
    const other = await inserted(theirs)
    expectThat(other.error?.includes('violates row-level security policy') === true, "another's row inserted", other)
    const all = await attempt('system', { text: `select distinct org_id from ${partition}` })
    expectThat(all.rows.length > 1, 'the system sees not all', all)
    const statistics = await attempt('org', {
      text: `select from pg_stats where format('%I.%I', schemaname, tablename) = $1`,
      values: [partition],
    })
    expectThat(statistics.error === undefined && statistics.rowCount === 0, 'statistics', statistics)
    return faults
  }

export function insertOf(table: PgTable, row: Readonly<Record<string, unknown>>): Statement {
  const columns = Object.keys(row)
  const places = columns.map((_, index) => `$${index + 1}`)
  return {
    text: `insert into ${sqlOf(table)} (${columns.map(quoted).join(', ')}) values (${places.join(', ')})`,
    values: Object.values(row),
  }
}

const changing = (table: PgTable, column: string): Statement => ({
  text: `update ${sqlOf(table)} set ${quoted(column)} = ${quoted(column)}`,
})

const isDenied = ({ error }: Outcome) => error?.startsWith('permission denied for ') === true

export const told = ({ error, code, rowCount }: Outcome) =>
  error === undefined ? `${rowCount} rows` : `${code ?? ''} ${error}`
