import { is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import { factsOf } from '../schema/shared/kinds.js'
import { define, fullNameOf, registerFacts } from './definition.js'
import type { Finding } from './rule.js'
import { checkRules } from './rules-checks.js'
import { columnRules } from './rules-columns.js'
import { exportRules } from './rules-exports.js'
import { isolationRules } from './rules-isolation.js'
import { keyRules } from './rules-keys.js'
import { nameRules } from './rules-names.js'
import { referenceRules } from './rules-references.js'

export type { Finding } from './rule.js'

export interface CheckOptions {
  /** Names of rules that are left out. */
  readonly except?: readonly string[]
}

const declared = {
  name: 'declared',
  reason:
    'Checks, grants, the proof, the export and Citus depend on the kind of a table; all of them skip a table without one.',
}

const tableRules = [...isolationRules, ...keyRules, ...referenceRules, ...columnRules, ...checkRules, ...nameRules]

/** Every convention with its reason. */
export const rules: readonly { readonly name: string; readonly reason: string }[] = [
  declared,
  ...tableRules,
  ...exportRules,
]

/**
 * Returns the faults of table definitions. Takes tables, or all exports of a schema module: then its views, enums, sequences and
 * policies are checked too. Needs no database.
 */
export function checkTables(
  tables: Iterable<PgTable> | Readonly<Record<string, unknown>>,
  { except = [] }: CheckOptions = {},
): Finding[] {
  const values = [...new Set(Symbol.iterator in tables ? (tables as Iterable<unknown>) : Object.values(tables))]
  const given = values.filter((value) => is(value, PgTable))
  const registry = registerFacts(given)
  const findings = [...given.flatMap((table) => checkTable(table, registry)), ...values.flatMap(checkExport)]
  return findings.filter(({ rule }) => !except.includes(rule))
}

function checkTable(table: PgTable, registry: ReturnType<typeof registerFacts>): Finding[] {
  const facts = factsOf(table)
  const fullName = fullNameOf(table)
  if (facts === undefined) {
    const message = `${fullName} has no declared kind. Write \`declareTable(table, { kind: 'tenant' })\` below it.`
    return [{ rule: declared.name, table: fullName, message }]
  }
  const definition = define(table, facts, registry)
  const rules = facts.adopted === true ? tableRules.filter(({ sparesAdopted }) => sparesAdopted !== true) : tableRules
  return rules.flatMap((rule) =>
    Array.from(rule.check(definition), (fault) => ({ rule: rule.name, table: fullName, ...fault })),
  )
}

const checkExport = (value: unknown): Finding[] =>
  exportRules.flatMap((rule) => {
    const fault = rule.check(value)
    return fault === undefined ? [] : [{ rule: rule.name, ...fault }]
  })
