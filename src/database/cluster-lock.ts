import type { Call, Statement } from '../core/executor.js'
import { unguardedStatement } from '../core/statement.js'
import type { Step } from './steps.js'

const rowLock = /\bfor (?:no key update|update|key share|share)\b/i
const read = /\b(?:from|join) "?(\w+)"?\."?(\w+)"?/gi
const changed = /\b(?:update|insert into|delete from) "?(\w+)"?\."?(\w+)"?/gi
/** They write people and members with the rights of the owner. */
const writers = /\bplatform\.(?:add_service|register_user|register_service)\(/

const lock: Step = {
  statement: unguardedStatement(
    `select from pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenantry: tables on every node', 0))`,
    'read',
  ),
  values: [],
  own: true,
}
const locked: readonly Step[] = [lock]
const free: readonly Step[] = []

/**
 * On a cluster, the step in front of a call that changes or locks rows of a table that is on every node. For such a call Citus locks the
 * whole table and those that it refers to, each in two steps, a weak lock first. Two calls at once, also of different organizations,
 * would wait for each other: a deadlock. With one lock in front of them all, one goes on after the other.
 */
export const clusterLock = ({ statement }: Call, onEveryNode: ReadonlySet<string>): readonly Step[] =>
  isOf(statement, onEveryNode) ? locked : free

const known = new WeakMap<Statement, boolean>()

function isOf(statement: Statement, onEveryNode: ReadonlySet<string>): boolean {
  const before = known.get(statement)
  if (before !== undefined) return before
  const { text } = statement
  const names = (form: RegExp) => [...text.matchAll(form)].map(([, schema, name]) => `${schema}.${name}`)
  const tables = rowLock.test(text) ? [...names(read), ...names(changed)] : names(changed)
  const found = writers.test(text) || tables.some((table) => onEveryNode.has(table))
  known.set(statement, found)
  return found
}
