import { isNew, oldName } from '../core/statements/audited.js'
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
}

export function auditedFields(plan: TablePlan, change: ChangeText): AuditedFields {
  const { verb, sets, upsert } = ownOf(change) as ChangeText
  const mayChange = upsert?.changes !== undefined
  const mayDiffer = (column: ColumnPlan) =>
    verb !== 'select' &&
    (sets === undefined || sets.includes(column.property) || (verb === 'insert' && column.isFilled))
  const told = [...plan.byProperty.values()].filter(
    (column) => mayDiffer(column) && !isManaged(plan, column) && !plan.isHidden(column),
  )
  const org = plan.owner === undefined ? 'n."org_id"' : `n.${plan.owner.column.sql}`
  const key = plan.key.map(({ sql }) => `n.${sql}`)
  return {
    changes: changesOf(
      plan,
      told,
      verb === 'delete' ? 'deleted' : mayChange ? 'put' : verb === 'insert' ? 'made' : 'changed',
    ),
    old: verb === 'update' || mayChange ? told : [],
    id:
      key.length === 0
        ? `${org}::text`
        : key.length === 1
          ? `${key.join()}::text`
          : `concat_ws('/', ${key.join(', ')})`,
    project: projectOf(plan),
    // A unique key has at most one row.
    from: mayChange ? 'changed n left join before b on true' : 'changed n',
    org,
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
function changesOf(plan: TablePlan, columns: readonly ColumnPlan[], kind: Kind): string {
  const isSecret = secretColumns(plan)
  const fields = columns.map((column) => {
    const after = `n.${column.sql}`
    const before = { made: '', deleted: after, changed: `n.${oldName(column)}`, put: `b.${oldName(column)}` }[kind]
    const [old, now] = [before, after].map((value) => `${value}${isComparable(column) ? '' : '::text'}`)
    const when = kind === 'made' || kind === 'deleted' ? `${after} is not null` : `${old} is distinct from ${now}`
    const told = isSecret(column) ? `'"changed"'::jsonb` : sidesOf(column, before, after, kind)
    return `case when ${when} then jsonb_build_object(${literal(column.property)}, ${told}) else '{}' end`
  })
  return fields.length === 0 ? `'{}'::jsonb` : fields.join(' || ')
}

function sidesOf(column: ColumnPlan, before: string, after: string, kind: Kind): string {
  const made = `jsonb_build_object('new', ${json(column, after)})`
  if (kind === 'made') return made
  if (kind === 'deleted') return `jsonb_build_object('old', ${json(column, before)})`
  const changed = `jsonb_build_object('old', ${json(column, before)}, 'new', ${json(column, after)})`
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
/** Types of any length that have the operator `=`. */
const comparable = /^(?:text|varchar|char|character|bpchar|jsonb|bytea|citext)\b/

const isComparable = ({ storedAs }: ColumnPlan): boolean =>
  [exact, bounded, comparable].some((types) => types.test(storedAs))

/** A number of any size is text, as in the rows of the library, since JavaScript would round it. A long value is told by its digest. */
function json({ storedAs }: ColumnPlan, value: string): string {
  if (exact.test(storedAs)) return `to_jsonb(${value}::text)`
  if (bounded.test(storedAs)) return `to_jsonb(${value})`
  const text = `${value}::text`
  return `case when octet_length(${text}) > ${longest} then jsonb_build_object('length', octet_length(${text}),
    'sha256', encode(sha256(convert_to(${text}, 'UTF8')), 'hex')) else to_jsonb(${value}) end`
}
