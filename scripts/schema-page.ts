import { type Column, is } from 'drizzle-orm'
import { type ForeignKey, getTableConfig, PgTable } from 'drizzle-orm/pg-core'
import type ts from 'typescript'
import * as schema from '../src/schema/index.js'
import { isSealed } from '../src/schema/shared/ciphertext.js'
import { factsOf, type TableKind } from '../src/schema/shared/kinds.js'
import { commentOf, exportsOf } from './doc-comments.js'

/** Each table is in one area, so that a diagram has about ten at most. */
const areas: Readonly<Record<string, readonly string[]>> = {
  'Organizations and people': [
    ...['organizations', 'users', 'organization_members', 'organization_invitations', 'user_sessions'],
    ...['user_audit_logs', 'org_keys', 'idempotency_keys'],
  ],
  Access: ['roles', 'permissions', 'role_permissions', 'project_members', 'api_keys', 'api_key_windows'],
  Projects: [
    ...['projects', 'credentials', 'databases', 'database_metrics', 'database_connection_logs', 'disk_config'],
    ...['compute_config', 'project_metrics', 'project_addons', 'addon_catalog'],
  ],
  Work: ['workflows', 'schedules', 'tasks'],
  Agents: ['agents', 'agent_tools', 'organization_llms', 'organization_tools', 'llms', 'tools'],
  Billing: [
    ...['billing_plans', 'subscriptions', 'invoices', 'payment_methods', 'customer_profiles', 'tax_ids'],
    ...['billing_events', 'credits', 'credit_entries'],
  ],
  'Usage and feature flags': ['usage_events', 'usage_metrics', 'feature_flags', 'organization_feature_flags'],
  Audit: ['audit_logs', 'audit_seals', 'system_audit_logs'],
}

const kinds: Readonly<Record<TableKind, string>> = {
  tenant: 'of an organization',
  control: 'of an organization, small',
  user: 'of a person',
  catalog: 'a catalog',
  global: 'of the platform',
}

const introduction = [
  'The tables of `tenantry/schema`, in the schema `platform` of the database. Generated from the definitions by `npx tsx scripts/documents.ts --write`.',
  `Every table of an organization has \`org_id\`, and but for the audit log a foreign key to \`organizations\`; these lines are left out. The
foreign keys between tables of an organization have \`org_id\` in them too: [how organizations are kept apart](isolation.md). A table that is
shown without columns has them in another diagram. The type \`sealed\` is that of [encrypted columns](encryption.md).`,
]

/** docs/schema.md: a diagram and a list of the tables for each area. `faults` are tables without an area or a doc comment. */
export function schemaPage(
  program: ts.Program,
  root: string,
): { readonly text: string; readonly faults: readonly string[] } {
  const checker = program.getTypeChecker()
  const exported = exportsOf(program, `${root}/src/schema/index.ts`)
  const tables = Object.entries(schema).flatMap(([constant, table]) => {
    const symbol = exported.get(constant)
    const comment = symbol === undefined ? '' : commentOf(symbol, checker)
    return is(table, PgTable) ? [{ table, name: getTableConfig(table).name, comment }] : []
  })
  const placed = Object.values(areas).flat()
  const faults = [
    ...tables
      .filter(({ name }) => !placed.includes(name))
      .map(({ name }) => `${name} is in no area of scripts/schema-page.ts`),
    ...placed
      .filter((name) => !tables.some((one) => one.name === name))
      .map((name) => `scripts/schema-page.ts: there is no table ${name}`),
    ...tables.filter(({ comment }) => comment === '').map(({ name }) => `${name} has no doc comment`),
  ]
  const sections = Object.entries(areas).flatMap(([area, names]) => {
    const members = names.flatMap((name) => tables.filter((one) => one.name === name))
    const lines = members.map(({ name, table, comment }) => {
      const kind = factsOf(table)?.kind
      return `- \`${name}\`${kind === undefined ? '' : ` (${kinds[kind]})`}: ${comment}`
    })
    return [`## ${area}`, diagramOf(members.map(({ table }) => table)), lines.join('\n')]
  })
  return { text: `${['# The tables', ...introduction, ...sections].join('\n\n')}\n`, faults }
}

function diagramOf(tables: readonly PgTable[]): string {
  const entities = tables.map((table) => {
    const { name, columns } = getTableConfig(table)
    return [`  ${name} {`, ...columns.map((column) => `    ${attributeOf(table, column)}`), '  }'].join('\n')
  })
  const lines = tables.flatMap((table) => getTableConfig(table).foreignKeys.flatMap((key) => relationOf(table, key)))
  return ['```mermaid', 'erDiagram', ...entities, ...new Set(lines), '```'].join('\n')
}

function attributeOf(table: PgTable, column: Column): string {
  const { foreignKeys } = getTableConfig(table)
  const isForeign = foreignKeys.some((key) => key.reference().columns.some(({ name }) => name === column.name))
  const keys = [...(primaryKeyOf(table).includes(column.name) ? ['PK'] : []), ...(isForeign ? ['FK'] : [])]
  return [typeOf(column), column.name, keys.join(', ')].join(' ').trimEnd()
}

/** Mermaid takes a type of one word. */
function typeOf(column: Column): string {
  const type = column.getSQLType()
  if (isSealed(column)) return 'sealed'
  return type
    .replace(/^timestamp.* with time zone$/, 'timestamptz')
    .replace(/\(.*\)/, '')
    .replaceAll(' ', '_')
}

function primaryKeyOf(table: PgTable): string[] {
  const { columns, primaryKeys } = getTableConfig(table)
  return [...columns.filter(({ primary }) => primary), ...primaryKeys.flatMap((key) => key.columns)].map(
    ({ name }) => name,
  )
}

function relationOf(table: PgTable, key: ForeignKey): string[] {
  const { columns, foreignTable } = key.reference()
  const parent = getTableConfig(foreignTable).name
  const { name } = getTableConfig(table)
  const own = columns.map((column) => column.name)
  if (parent === 'organizations' && own.join() === 'org_id') return []
  const isOptional = columns.some((column) => !column.notNull)
  const label = own.filter((column) => column !== 'org_id').join(', ')
  return [`  ${parent} ${isOptional ? '|o' : '||'}--${isUnique(table, own) ? 'o|' : 'o{'} ${name} : "${label}"`]
}

/** Whether a row of the other table has at most one of this one. */
function isUnique(table: PgTable, columns: readonly string[]): boolean {
  const { indexes, uniqueConstraints } = getTableConfig(table)
  const keys = [
    primaryKeyOf(table),
    ...uniqueConstraints.map((one) => one.columns.map(({ name }) => name)),
    ...indexes
      .filter(({ config }) => config.unique && config.where === undefined)
      .map(({ config }) => config.columns.map((column) => ('name' in column ? column.name : ''))),
  ]
  return keys.some((key) => key.length > 0 && key.every((name) => name !== undefined && columns.includes(name)))
}
