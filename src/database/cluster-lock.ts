import type { Call, Statement } from '../core/executor.js'
import { unguardedStatement } from '../core/statement.js'
import type { Step } from './steps.js'

const rowLock = /\bfor\s+(?:no\s+key\s+update|update|key\s+share|share)\b/i
/** A table with or without its schema, each of them quoted or not. */
const table = String.raw`(?:only\s+)?(?:("[^"]+"|\w+)\s*\.\s*)?("[^"]+"|\w+)`
// Behind a comma stands a table or a column. A column with the name of such a table costs a lock that was not needed.
const read = new RegExp(String.raw`(?:\b(?:from|join|using)\b|,)\s*${table}`, 'gi')
const changed = new RegExp(String.raw`\b(?:update|(?:insert|merge)\s+into|delete\s+from)\s+${table}`, 'gi')
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
 * would wait for each other: a deadlock. With one lock in front of them all, one goes on after the other. The tables are given as
 * `schema.name`; one without a schema is taken for one of `public`.
 */
export function clusterLocks(onEveryNode: ReadonlySet<string>): (call: Call) => readonly Step[] {
  const known = new WeakMap<Statement, readonly Step[]>()
  return ({ statement }) => {
    const before = known.get(statement)
    if (before !== undefined) return before
    const steps = needsLock(statement.text, onEveryNode) ? locked : free
    known.set(statement, steps)
    return steps
  }
}

function needsLock(text: string, onEveryNode: ReadonlySet<string>): boolean {
  if (writers.test(text)) return true
  const forms = rowLock.test(text) ? [read, changed] : [changed]
  return forms.some((form) =>
    [...text.matchAll(form)].some(([, schema, name = '']) =>
      onEveryNode.has(`${schema === undefined ? 'public' : unquoted(schema)}.${unquoted(name)}`),
    ),
  )
}

/** Postgres reads a name without quotes in lower case. */
const unquoted = (name: string): string => (name.startsWith('"') ? name.slice(1, -1) : name.toLowerCase())
