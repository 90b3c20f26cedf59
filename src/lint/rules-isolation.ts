import { is, SQL } from 'drizzle-orm'
import { type PgPolicy, PgRole } from 'drizzle-orm/pg-core'
import { tenantryApp, tenantrySystem } from '../schema/shared/isolation.js'
import {
  columnOf,
  type Definition,
  isAttribution,
  isUuid,
  organizationsTable,
  sqlText,
  usersTable,
} from './definition.js'
import type { Rule } from './rule.js'

/** The call of the helper that gives a table its owner. */
const helperOf = (table: Definition): string =>
  table.owner === 'user_id' ? `...userTable('${table.name}', t)` : `...tenantTable('${table.name}', t)`

const ownerColumn: Rule = {
  name: 'owner-column',
  reason: 'Row security, keys, foreign keys and Citus all rely on the column with the owner of the row.',
  *check(table) {
    const { owner, fullName } = table
    if (owner === undefined) return
    const column = columnOf(table, owner)
    const isSound = column !== undefined && isUuid(column) && column.notNull && !column.hasDefault
    if (isSound && (column === table.columns[0] || table.facts.adopted === true)) return
    const helper = owner === 'org_id' ? 'orgId: orgId()' : "userId: uuid('user_id').notNull()"
    yield {
      object: owner,
      message: `${fullName} must begin with ${owner}, uuid not null without a default. Make \`${helper}\` its first column.`,
    }
  },
}

const ownerReference: Rule = {
  name: 'owner-reference',
  reason: 'When an organization or a person is purged, their rows must go with them.',
  *check(table) {
    const { owner, fullName } = table
    if (owner === undefined || table.facts.outlives === true || columnOf(table, owner) === undefined) return
    const target = owner === 'org_id' ? organizationsTable : usersTable
    const isThere = table.references.some(
      (reference) =>
        reference.target === target &&
        reference.onDelete === 'cascade' &&
        reference.columns.join() === owner &&
        reference.targetColumns.join() === 'id',
    )
    if (isThere) return
    yield {
      object: owner,
      message: `${fullName}.${owner} must refer to ${target}(id) on delete cascade. Add \`${helperOf(table)}\`, or declare the table with \`outlives: true\`.`,
    }
  },
}

const rowSecurity: Rule = {
  name: 'row-security',
  reason: 'Without row security the application reads every row of the table, whichever organization is bound.',
  *check(table) {
    if (table.facts.kind === 'catalog' || table.policies.length > 0) return
    const helper = table.owner === undefined ? 'systemAccess()' : helperOf(table)
    yield { message: `${table.fullName} has no row security. Add \`${helper}\` to its definition.` }
  },
}

interface ExpectedPolicy {
  readonly name: string
  readonly rule: string
  readonly helper: string
}

const policyRule = (role: string, predicate: string): string =>
  `permissive for all to ${role} using (${predicate}) with check (${predicate})`

function expectedPolicies(table: Definition): ExpectedPolicy[] {
  const { owner, fullName, facts } = table
  const system = { name: 'system_access', rule: policyRule(tenantrySystem.name, 'true'), helper: 'systemAccess()' }
  if (facts.kind === 'catalog') return []
  if (owner === 'org_id' || fullName === organizationsTable) {
    const [column, helper] = owner === undefined ? ['id', `orgIsolation('id')`] : [owner, 'orgIsolation()']
    const rule = policyRule(tenantryApp.name, `${column} = platform.current_org()`)
    return [{ name: 'org_isolation', rule, helper }, system]
  }
  if (owner === 'user_id' || fullName === usersTable) {
    const [column, helper] = owner === undefined ? ['id', `userAccess('id')`] : [owner, 'userAccess()']
    const rule = policyRule(tenantryApp.name, `${column} = platform.current_user_id()`)
    return [{ name: 'user_access', rule, helper }, system]
  }
  return [system]
}

const rolesOf = (to: PgPolicy['to'] = 'public'): string[] => {
  if (Array.isArray(to)) return to.flatMap(rolesOf)
  return [is(to, PgRole) ? to.name : to]
}

function describePolicy({ as, for: command, to, using, withCheck }: PgPolicy): string {
  const predicate = (value: SQL | undefined) => (is(value, SQL) ? sqlText(value).text : '')
  return `${as ?? 'permissive'} for ${command ?? 'all'} to ${rolesOf(to).join(', ')} using (${predicate(using)}) with check (${predicate(withCheck)})`
}

const policies: Rule = {
  name: 'policies',
  reason:
    'Permissive policies are OR-ed, so a further or a different one opens rows; Citus forwards restrictive ones as permissive.',
  *check(table) {
    if (table.policies.length === 0) return
    const expected = expectedPolicies(table)
    for (const { name, rule, helper } of expected) {
      const found = table.policies.find((policy) => policy.name === name)
      if (found !== undefined && describePolicy(found) === rule) continue
      const state = found === undefined ? 'is missing' : `is "${describePolicy(found)}"`
      yield { object: name, message: `${table.fullName}: the policy ${name} ${state}. Use \`${helper}\`: "${rule}".` }
    }
    for (const { name } of table.policies.filter((policy) => !expected.some((one) => one.name === policy.name))) {
      yield {
        object: name,
        message: `${table.fullName}: the policy ${name} would open further rows. Remove it; filter in the repository instead.`,
      }
    }
  },
}

const catalog: Rule = {
  name: 'catalog',
  reason: 'A catalog is the same for everybody: the application reads all of it, and its rows are never deleted.',
  *check(table) {
    if (table.facts.kind !== 'catalog') return
    if (table.rowSecurity && table.policies.length === 0) {
      yield { message: `${table.fullName} is a catalog and has row security, which would hide it. Remove enableRLS().` }
    }
    for (const { label, columns, target, targetFacts } of table.references) {
      const [column] = columns.flatMap((name) => columnOf(table, name) ?? [])
      if (targetFacts?.kind === 'catalog' || (column !== undefined && isAttribution(table, column))) continue
      yield {
        object: label,
        message: `${table.fullName} is a catalog and refers to ${target}, which is not. Declare it as another kind, or remove ${label}.`,
      }
    }
  },
}

const strayOwner: Rule = {
  name: 'stray-owner',
  reason: "A table with org_id that is declared without an owner shows every organization's rows to every other.",
  *check(table) {
    if (table.facts.kind !== 'catalog' && table.facts.kind !== 'global') return
    if (columnOf(table, 'org_id') === undefined) return
    yield {
      object: 'org_id',
      message: `${table.fullName} has org_id but is declared as ${table.facts.kind}. Declare it as tenant and add \`...tenantTable('${table.name}', t)\`.`,
    }
  },
}

export const isolationRules: readonly Rule[] = [ownerColumn, ownerReference, rowSecurity, policies, catalog, strayOwner]
