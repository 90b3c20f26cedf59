import { getTableConfig, PgDialect, type PgTable } from 'drizzle-orm/pg-core'
import { newId } from '../../src/core/ids.js'
import { quoted } from '../../src/core/statements/column-plan.js'
import { type Rows, sqlOf } from '../support/every-table.js'
import type { Statement } from './attempts.js'
import { type Faults, insertOf, ownerOf, rowOf, told } from './behaviour.js'

const dialect = new PgDialect()

/** What breaks a check that does not tell so itself. SQL by column. */
const violations: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  billing_plans_limits_check: { limits: `'{"max_projects": 1}'` },
  database_metrics_value_check: { value: `'Infinity'` },
  disk_config_autoscale_growth_percent_check: { autoscale_growth_percent: '101' },
  disk_config_autoscale_limit_gb_check: { autoscale_limit_gb: 'size_gb - 1' },
  disk_config_io_budget_check: { io_budget: '-1' },
  disk_config_size_gb_check: { size_gb: '7' },
  feature_flags_rollout_percentage_check: { rollout_percentage: '101' },
  org_keys_wrapped_check: { wrapped: 'null' },
  organizations_slug_check: { slug: `'-a'` },
  project_addons_quantity_check: { quantity: '0' },
  projects_database_port_check: { database_port: '65536' },
  projects_ref_check: { ref: `'AB'` },
  subscriptions_period_check: { current_period_end: 'current_period_start' },
  usage_metrics_period_check: { period_end: 'period_start' },
}

/** The values that break a check: told by the form of most of them. */
function violationOf(name: string, predicate: string): Readonly<Record<string, string>> {
  const given = violations[name]
  if (given !== undefined) return given
  const [, word] = /^"?(\w+)"? in \(/.exec(predicate) ?? []
  if (word !== undefined) return { [word]: `'none of them'` }
  const [, lower] = /^(\w+) = lower\(\1\)$/.exec(predicate) ?? []
  if (lower !== undefined) return { [lower]: `'Upper'` }
  const [, number] = /(\w+) <> 'NaN'$/.exec(predicate) ?? []
  if (number !== undefined) return { [number]: `'NaN'` }
  throw new Error(`say what breaks ${name}: ${predicate}`)
}

/** Every check refuses what breaks it. */
export const checkFaults: Faults = async ({ attempt }, table) => {
  const faults: string[] = []
  for (const { name, value } of getTableConfig(table).checks) {
    const changes = Object.entries(violationOf(name, dialect.sqlToQuery(value).sql))
    const text = `update ${sqlOf(table)} set ${changes.map(([column, to]) => `${quoted(column)} = ${to}`).join(', ')}`
    const outcome = await attempt('owner', { text })
    if (outcome.code !== '23514' || outcome.constraint !== name) faults.push(`${name}: ${told(outcome)}`)
  }
  return faults
}

interface Unique {
  readonly name: string
  readonly columns: readonly string[]
  readonly index: boolean
}

/** The unique constraints and indexes of a table, without its primary key. */
export function uniquesOf(table: PgTable): Unique[] {
  const { uniqueConstraints, indexes } = getTableConfig(table)
  return [
    ...uniqueConstraints.map((key) => ({
      name: key.name ?? '',
      columns: key.columns.map((column) => column.name),
      index: false,
    })),
    ...indexes
      .filter(({ config }) => config.unique)
      .map(({ config }) => ({
        name: config.name ?? '',
        columns: config.columns.map((column) => ('name' in column ? String(column.name) : '')),
        index: true,
      })),
  ]
}

// Values without which a row is outside of a partial index, or null and so not the same as any other.
const prepared: Readonly<Record<string, (rows: Rows) => Readonly<Record<string, unknown>>>> = {
  invoices_number_key: () => ({ number: 1 }),
  invoices_stripe_invoice_key: () => ({ stripe_invoice_id: 'the same' }),
  organizations_external_id_key: () => ({ external_id: 'the same' }),
  organizations_provision_key: () => ({ provision_key: 'the same' }),
  payment_methods_default_key: () => ({ is_default: true }),
  tasks_dedupe_key: () => ({ dedupe_key: 'the same' }),
  tasks_schedule_key: (rows) => ({ schedule_id: rows.get('schedules')?.id, scheduled_for: new Date(0) }),
  users_external_id_key: () => ({ external_id: 'the same' }),
  subscriptions_stripe_customer_key: () => ({ stripe_customer_id: 'the same' }),
  users_username_key: () => ({ username: 'the same' }),
}

/** Every unique key refuses a second row of the same values, which differs in all else that is unique. */
export const uniqueFaults: Faults = async ({ attempt, ours }, table) => {
  const faults: string[] = []
  for (const key of uniquesOf(table)) {
    const values = prepared[key.name]?.(ours) ?? {}
    const row = { ...rowOf(ours, table), ...values }
    const outcome = await attempt('owner', settingOf(table, values, ours), insertOf(table, twinIn(table, row, key)))
    if (outcome.code !== '23505' || outcome.constraint !== key.name) faults.push(`${key.name}: ${told(outcome)}`)
  }
  return faults
}

function settingOf(table: PgTable, values: Readonly<Record<string, unknown>>, rows: Rows): Statement {
  const columns = Object.keys(values)
  if (columns.length === 0) return { text: 'select' }
  const owner = ownerOf(table)
  const changes = columns.map((column, index) => `${quoted(column)} = $${index + 2}`)
  return {
    text: `update ${sqlOf(table)} set ${changes.join(', ')} where ${owner?.column ?? 'id'} = $1`,
    values: [owner?.of(rows) ?? rowOf(rows, table).id, ...Object.values(values)],
  }
}

/** The row again, with other values in whatever else must be unique. */
function twinIn(table: PgTable, row: Readonly<Record<string, unknown>>, { columns }: Unique): Record<string, unknown> {
  const same = new Set(columns.map((column) => (column === 'name_key' ? 'name' : column)))
  const { primaryKeys } = getTableConfig(table)
  const others = [
    ...primaryKeys.map((key) => key.columns.map(({ name }) => name)),
    ['id'],
    ...uniquesOf(table).map((key) => key.columns),
  ]
  const twin = { ...row }
  for (const column of new Set(others.flat().map((name) => (name === 'name_key' ? 'name' : name)))) {
    if (!same.has(column) && column in twin) twin[column] = otherThan(twin[column])
  }
  return twin
}

function otherThan(value: unknown): unknown {
  if (value instanceof Date) return new Date(value.getTime() + 86_400_000)
  if (Buffer.isBuffer(value)) return Buffer.concat([value, value])
  if (typeof value === 'string') return /^[0-9a-f-]{36}$/.test(value) ? newId() : `${value}x`
  return Number(value) + 1
}
