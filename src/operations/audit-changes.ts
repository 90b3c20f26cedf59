import { type InnerNames, innerNames } from '../core/statements/audited.js'
import type { ChangeText } from '../core/statements/change-text.js'
import type { ColumnPlan } from '../core/statements/column-plan.js'
import type { TablePlan } from '../core/statements/table-plan.js'
import { ownOf } from '../core/values.js'
import { factsOf } from '../schema/shared/kinds.js'

/** Longer values are told by their length and their digest. */
export const longest = 2048

/** The fields of the rows that a change has touched, in SQL over `n`, a row of `changed`. */
export interface AuditedFields {
  /** A JSON object: for each field that differs the old and the new value, or `"changed"` for sealed and personal columns. */
  readonly changes: string
  /** The columns of which `changes` reads the old values. */
  readonly old: readonly ColumnPlan[]
  /** The row's id, or the values of its key with a slash between them. */
  readonly id: string
  /** The project that the row belongs to. */
  readonly project: string
  /** `changed n`, with `before b` for an insert that may change a row. */
  readonly from: string
  /** The organization of the row. */
  readonly org: string
  /** In an insert that may meet a row: whether the row is new. */
  readonly isNew: string
}

export function auditedFields(plan: TablePlan, change: ChangeText): AuditedFields {
  const { verb, sets, upsert } = ownOf(change) as ChangeText
  const mayChange = upsert?.changes !== undefined
  const mayDiffer = (column: ColumnPlan) =>
    verb !== 'select' &&
    (sets === undefined ||
      sets.includes(column.property) ||
      column.isGenerated ||
      (verb === 'insert' && column.isFilled))
  const told = [...plan.byProperty.values()].filter(
    (column) => mayDiffer(column) && !isManaged(plan, column) && !plan.isHidden(column),
  )
  const names = innerNames(plan)
  const org = plan.owner === undefined ? 'n."org_id"' : `n.${plan.owner.column.sql}`
  const key = plan.key.map(({ sql }) => `n.${sql}`)
  return {
    changes: changesOf(
      plan,
      names,
      told,
      verb === 'delete' ? 'deleted' : mayChange ? 'put' : verb === 'insert' || verb === 'call' ? 'made' : 'changed',
    ),
    old: verb === 'update' || mayChange ? told : [],
    id:
      key.length === 0
        ? `${org}::text`
        : key.length === 1
          ? `${key.join()}::text`
          : `pg_catalog.concat_ws('/'::text, ${key.join(', ')})`,
    project: projectOf(plan),
    // A unique key has at most one row.
    from: mayChange ? 'changed n left join before b on true' : 'changed n',
    org,
    isNew: `n.${names.isNew}`,
  }
}

function projectOf(plan: TablePlan): string {
  if (plan.isProject) return 'n."id"'
  return [...plan.byProperty.values()].some(({ sql }) => sql === '"project_id"') ? 'n."project_id"' : 'null::uuid'
}

/** The key of the row stands in the entry itself; the others change with every write. */
const isManaged = (plan: TablePlan, column: ColumnPlan): boolean =>
  column === plan.owner?.column ||
  ['"org_id"', '"created_at"', '"updated_at"', '"revision"'].includes(column.sql) ||
  (plan.hasId && column.sql === '"id"')

/** `put` is an insert that may have changed a row instead. */
type Kind = 'made' | 'changed' | 'put' | 'deleted'

/** Field by field: a list of the fields with one expression over it is shorter, and takes twice as long. */
function changesOf(plan: TablePlan, names: InnerNames, columns: readonly ColumnPlan[], kind: Kind): string {
  const isSecret = secretColumns(plan)
  const fields = columns.map((column) => {
    const after = `n.${column.sql}`
    const before = { made: '', deleted: after, changed: `n.${names.old(column)}`, put: `b.${names.old(column)}` }[kind]
    const [old, now] = [before, after].map((value) =>
      comparable.test(column.storedAs) ? value : `${value}::text collate "C"`,
    )
    const when = kind === 'made' || kind === 'deleted' ? `${after} is not null` : `${old} is distinct from ${now}`
    const told = isSecret(column) ? `'"changed"'::jsonb` : sidesOf(column, before, after, kind, names)
    return `case when ${when} then pg_catalog.jsonb_build_object(${literal(column.property)}::text, ${told}) else '{}'::jsonb end`
  })
  return fields.length === 0 ? `'{}'::jsonb` : fields.join(' || ')
}

function sidesOf(column: ColumnPlan, before: string, after: string, kind: Kind, { isNew }: InnerNames): string {
  const made = `pg_catalog.jsonb_build_object('new'::text, ${json(column, after)})`
  if (kind === 'made') return made
  if (kind === 'deleted') return `pg_catalog.jsonb_build_object('old'::text, ${json(column, before)})`
  const changed = `pg_catalog.jsonb_build_object('old'::text, ${json(column, before)}, 'new'::text, ${json(column, after)})`
  return kind === 'put' ? `case when n.${isNew} then ${made} else ${changed} end` : changed
}

export const literal = (text: string) => `'${text.replaceAll("'", "''")}'`

/** Sealed values, and those that the table declares as personal: erasing a person must leave nothing of them in the log. */
function secretColumns(plan: TablePlan): (column: ColumnPlan) => boolean {
  const personal = new Set(factsOf(plan.table)?.personal)
  return ({ property, sql }) => plan.sealed.has(property) || personal.has(sql.slice(1, -1))
}

const exact = /^(?:numeric|decimal|bigint|bigserial|money)\b(?!.*\[)/
const bounded =
  /^(?:uuid|boolean|smallint|integer|real|double precision|date|time|timestamp|timestamptz|interval|inet|cidr)\b(?!.*\[)/
/**
 * Types with an operator `=` of their own that is true only of values that are stored alike. All others are compared as text: `1.0` and
 * `1.00` are equal numbers, and so are the intervals `1 day` and `24:00:00`.
 */
const comparable =
  /^(?:uuid|boolean|smallint|integer|bigint|bigserial|money|date|time|timestamp|timestamptz|inet|bytea)\b(?!.*\[)/

/** A number of any size is text, as in the rows of the library, since JavaScript would round it. A long value is told by its digest. */
function json({ storedAs }: ColumnPlan, value: string): string {
  if (exact.test(storedAs)) return `pg_catalog.to_jsonb(${value}::text)`
  if (bounded.test(storedAs)) return `pg_catalog.to_jsonb(${value})`
  const text = `${value}::text`
  return `case when pg_catalog.octet_length(${text}) > ${longest} then pg_catalog.jsonb_build_object('length'::text, pg_catalog.octet_length(${text}),
    'sha256'::text, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(${text}, 'UTF8'::name)), 'hex'::text)) else pg_catalog.to_jsonb(${value}) end`
}
