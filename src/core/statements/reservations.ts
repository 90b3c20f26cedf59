import { DefinitionError, InvalidInputError, limitsNeedReadCommitted } from '../errors.js'
import type { Call } from '../executor.js'
import type { ScopeContext } from '../scope.js'
import type { Values } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { keyOf } from './inserts.js'
import { firstPlace, type Target } from './target.js'

/** A limit of the plan that counts the rows of a table or, with `sum`, adds up a column of them. */
export interface TableLimit {
  readonly name: string
  readonly sum: ColumnPlan | undefined
}

/** Reserves room in the organization's plan for changes of one table. The calls go in front of the change. */
export class RoomInPlan {
  constructor(
    private readonly target: Pick<Target<unknown>, 'plan' | 'owner'>,
    private readonly limit: TableLimit,
    private readonly context: ScopeContext,
  ) {}

  /** For rows that are all new. */
  forRows(rows: readonly Values[]): readonly Call[] {
    const { sum } = this.limit
    const place = this.place(0)
    if (rows.length === 0) return []
    if (sum === undefined) return this.reserve(`${place}::numeric`, [rows.length])
    const amounts = rows.map((row) => amountIn(row, sum))
    return this.reserve(
      `(select coalesce(pg_catalog.sum(${stored('a', sum)}), 0) from pg_catalog.unnest(${place}::numeric[]) a)`,
      [amounts],
    )
  }

  /** For an insert with ON CONFLICT on `keyName`, which keeps or changes an existing row. */
  forUnique(values: Values, keyName: string, onConflict: 'keeps' | 'changes'): readonly Call[] {
    const { sum } = this.limit
    const { plan } = this.target
    const { columns, predicate } = keyOf(plan, keyName)
    // Whether a row is in a partial index is not known before it is written, so that it counts as a new one.
    if (predicate !== undefined && !/^"?deleted_at"? is null$/.test(predicate)) return this.forRows([values])
    const given = columns.map((column) => column.encode(values[column.property] ?? null))
    // A null is equal to nothing, as in the unique key.
    const isThat = columns.map(({ sql, writtenAs }, index) => `${sql} = ${this.place(index)}::${writtenAs}`)
    const same = `from ${plan.sql} where ${[plan.visible, ...isThat].join(' and ')}`
    if (sum === undefined) return this.reserve(`(select case when exists (select ${same}) then 0 else 1 end)`, given)
    const amount = stored(`${this.place(columns.length)}::numeric`, sum)
    const added =
      onConflict === 'keeps'
        ? `(select case when exists (select ${same}) then 0 else ${amount} end)`
        : `(${amount} - coalesce((select ${sum.sql}::numeric ${same}), 0))`
    return this.reserve(added, [...given, amountIn(values, sum)])
  }

  /** For a hidden row that comes back. */
  forRestored(id: string): readonly Call[] {
    const { owned } = this.target.plan
    const hidden = `${owned} and "deleted_at" is not null and "id" = ${this.place(0)}::uuid`
    return this.reserve(this.measure(hidden), [id])
  }

  /** For a change of a row. */
  forChange(id: string, values: Values): readonly Call[] {
    const { sum } = this.limit
    if (sum === undefined || values[sum.property] === undefined) return []
    const before = this.measure(`${this.target.plan.visible} and "id" = ${this.place(0)}::uuid`)
    return this.reserve(`(${stored(`${this.place(1)}::numeric`, sum)} - ${before})`, [id, amountIn(values, sum)])
  }

  /** Throws DefinitionError for a change of many rows: what they get is not added up. */
  assertNotSummed(values: Values): void {
    const { sum } = this.limit
    if (sum === undefined || values[sum.property] === undefined) return
    throw new DefinitionError(
      `${this.target.plan.resource}.${sum.property} cannot be changed for many rows at once, because the plan limits its sum; change one row at a time`,
    )
  }

  private reserve(added: string, values: readonly unknown[]): readonly Call[] {
    const { isolation = 'read committed', rules } = this.context
    if (isolation !== 'read committed') throw new DefinitionError(limitsNeedReadCommitted)
    const { plan, owner } = this.target
    return rules.reserve({
      limit: this.limit.name,
      used: this.measure(plan.visible),
      added,
      values: [...owner, ...values],
    })
  }

  private measure(where: string): string {
    const { sum } = this.limit
    const total = sum === undefined ? 'count(*)' : `coalesce(pg_catalog.sum(${sum.sql}), 0)`
    return `(select ${total}::numeric from ${this.target.plan.sql} where ${where})`
  }

  private place(index: number): string {
    return `$${firstPlace(this.target.plan) + index}`
  }
}

/** The number as the column will hold it: numeric(10,0) makes 1 of 0.5. */
const stored = (amount: string, { storedAs }: ColumnPlan): string => `(${amount})::${storedAs}::numeric`

function amountIn(values: Values, { property, encode }: ColumnPlan): string {
  const value = values[property]
  if (value === undefined || value === null)
    throw new InvalidInputError(property, 'is required, because the plan limits its sum')
  return String(encode(value))
}
