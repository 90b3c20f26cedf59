import { z } from 'zod'
import { ConflictError, InsufficientCreditError, NotFoundError, RetryableError } from '../core/errors.js'
import { newId, parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import type { ChangeText } from '../core/statements/change-text.js'
import type { ListOptions, PageContent, PageOf } from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { planOf, type TablePlan } from '../core/statements/table-plan.js'
import { parseInput } from '../core/values.js'
import {
  type Credit,
  creditEntries,
  type CreditEntry,
  credits,
  newCredit,
  type NewCredit,
  newCreditSpend,
  type NewCreditSpend,
} from '../schema/credits.js'
import * as shape from '../schema/shared/shapes.js'

const usualPriority = credits.priority.default as number

const voidOptions = z.strictObject({
  /** The purpose, as free text or an id of your own. */
  reference: shape.label(255).nullish(),
})

export interface VoidCreditOptions extends z.input<typeof voidOptions> {}

/** A spend, and the credits that it used. */
export interface CreditSpend {
  /** Its entries have this reference: `org.credits.entries({ reference })`. */
  readonly reference: string
  readonly amount: string
  readonly currency: string
  /** As they are after the spend, in the order in which they were used. */
  readonly credits: readonly Credit[]
}

/** What can be spent in one currency. */
export interface CreditBalance {
  readonly currency: string
  readonly amount: string
}

/**
 * Money granted to the organization. What is left of a credit never falls below zero, and each change of it has an entry. Amounts are exact
 * decimals with at most two places.
 */
export class Credits extends ScopedRepository<Credit> {
  constructor(scope: Scope) {
    super(scope, credits)
  }

  /** Adds money in one currency: `org.credits.grant({ amount: '50', currency: 'EUR', expiresAt })`. */
  grant(values: NewCredit): Query<Credit> {
    return this.run(
      this.change('grant', grantText),
      () => {
        const {
          amount,
          currency,
          reason = null,
          priority = usualPriority,
          expiresAt = null,
        } = parseInput(newCredit, values)
        return [newId(), amount, currency, reason, priority, expiresAt, newId(), this.author]
      },
      (result) => {
        const [credit] = this.rowsOf(result)
        if (credit === undefined) throw new NotFoundError('credits')
        return credit
      },
    )
  }

  /**
   * Takes the amount from as many credits of the currency as needed: the smallest priority first, then the earliest expiry, then the
   * oldest. Expired and voided credits are not used. Throws InsufficientCreditError, and takes nothing, when they do not suffice. Without a
   * `reference` the spend gets one of its own.
   */
  spend(values: NewCreditSpend): Query<CreditSpend> {
    let spent: Omit<CreditSpend, 'credits'> = { reference: '', amount: '', currency: '' }
    return this.run(
      this.change('spend', spendText),
      () => {
        const { amount, currency, reference } = parseInput(newCreditSpend, values)
        spent = { reference: reference ?? newId(), amount, currency }
        return [currency, amount, spent.reference, newId(), this.author]
      },
      (result, diagnosis) => {
        if (result.rowCount > 0) return { ...spent, credits: this.rowsOf(result).sort(inBurnOrder) }
        const [available, suffices] = (diagnosis?.rows[0] ?? []) as [string, boolean]
        // A credit was granted while the statement waited for another spend.
        if (suffices) throw new RetryableError('serialization')
        throw new InsufficientCreditError(spent.currency, spent.amount, available)
      },
      { statement: this.query('left to spend', leftToSpend), takes: 2 },
    )
  }

  /** Writes off what is left of the credit. Throws ConflictError when nothing is left. */
  void(id: string, options: VoidCreditOptions = {}): Query<Credit> {
    return this.run(
      this.change('void', voidText),
      () => {
        const credit = parseId(id)
        const { reference = null } = parseInput(voidOptions, options)
        return [credit, newId(), reference, this.author]
      },
      (result, diagnosis) => {
        const [credit] = this.rowsOf(result)
        if (credit !== undefined) return credit
        if (diagnosis?.rows.length !== 1) throw new NotFoundError('credits')
        throw new ConflictError(
          'credits',
          ['remaining'],
          'credits: nothing is left of this credit that could be voided',
        )
      },
      { statement: this.query('voidable', isThere), takes: 1 },
    )
  }

  /** What can be spent now, for each currency in which something is left. */
  balance(): Query<CreditBalance[]> {
    return this.run(
      this.query('balance', balanceText),
      () => [],
      ({ rows }) => (rows as [string, string][]).map(([currency, amount]) => ({ currency, amount })),
    )
  }

  /** The grants, spends and write-offs, newest first: `org.credits.entries({ creditId })`. */
  entries<Name extends Field<CreditEntry> = Field<CreditEntry>, Total extends boolean = false>(
    options?: ListOptions<Omit<CreditEntry, 'amount'>> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<CreditEntry, Name>, Total>> {
    return this.child(creditEntries).list(options)
  }

  /** The person who acts. */
  private get author(): string | null {
    const { actor } = this.scope.context
    return actor?.kind === 'user' ? (actor.id ?? null) : null
  }
}

const inBurnOrder = (a: Credit, b: Credit): number =>
  a.priority - b.priority ||
  (a.expiresAt?.getTime() ?? Infinity) - (b.expiresAt?.getTime() ?? Infinity) ||
  (a.id < b.id ? -1 : 1)

const entryColumns = '"org_id", "id", "credit_id", "kind", "amount", "reference", "created_by"'
const intoEntries = () => `insert into ${planOf(creditEntries).sql} (${entryColumns})`

const grantText = ({ sql, selected }: TablePlan): ChangeText => ({
  verb: 'insert',
  ctes: [],
  after: [
    `entered as (${intoEntries()} values ($1::uuid, $8::uuid, $2::uuid, 'grant', $3::numeric, null, $9::uuid) returning 1)`,
  ],
  head: `insert into ${sql} ("org_id", "id", "amount", "remaining", "currency", "reason", "priority", "expires_at")
    values ($1::uuid, $2::uuid, $3::numeric, $3::numeric, $4::text, $5::text, $6::smallint, $7::timestamptz)`,
  where: '',
  returning: selected,
  sets: ['id', 'amount', 'remaining', 'currency', 'reason', 'priority', 'expiresAt'],
})

const usable = `"remaining" > 0 and "voided_at" is null and ("expires_at" is null or "expires_at" > statement_timestamp())`

/**
 * Every spend locks the usable credits of the currency in the same order, so that contenders wait for the first of them and not for each
 * other, and sees what the one before has left. The ids of the entries differ in their last six digits.
 */
function spendText({ sql, selected, owned }: TablePlan): ChangeText {
  const suffices = '(select sum(part) from taken) = $3::numeric'
  return {
    verb: 'update',
    ctes: [
      `usable as (
        select "id" as credit, "remaining" as rest, "priority" as urgency, "expires_at" as ends from ${sql}
        where ${owned} and "currency" = $2::bpchar and ${usable}
        order by "priority", "expires_at", "id" for no key update
      )`,
      `taken as (
        select credit, place, least(rest, $3::numeric - before) as part from (
          select credit, rest, row_number() over burn as place, sum(rest) over burn - rest as before
          from usable window burn as (order by urgency, ends, credit)
        ) ordered where before < $3::numeric
      )`,
      `entered as (
        ${intoEntries()}
        select $1::uuid, overlay($5::uuid::text placing lpad(to_hex(place), 6, '0') from 31)::uuid, credit, 'spend', part, $4::text, $6::uuid
        from taken where ${suffices} returning 1
      )`,
    ],
    head: `update ${sql} set "remaining" = "remaining" - part, "updated_at" = statement_timestamp()`,
    from: 'taken',
    where: `${owned} and "id" = credit and ${suffices}`,
    returning: selected,
    sets: ['remaining', 'updatedAt'],
  }
}

const leftToSpend = ({ sql, owned }: TablePlan): string =>
  `select left_over::numeric(16, 2), left_over >= $3::numeric
   from (select coalesce(sum("remaining"), 0) as left_over from ${sql} where ${owned} and "currency" = $2::bpchar and ${usable}) credit`

const voidText = ({ sql, selected, owned }: TablePlan): ChangeText => ({
  verb: 'update',
  ctes: [
    `voidable as (
      select "id" as credit, "remaining" as rest from ${sql}
      where ${owned} and "id" = $2::uuid and "voided_at" is null and "remaining" > 0 for no key update
    )`,
    `entered as (
      ${intoEntries()} select $1::uuid, $3::uuid, credit, 'void', rest, $4::text, $5::uuid from voidable returning 1
    )`,
  ],
  head: `update ${sql} set "remaining" = 0, "voided_at" = statement_timestamp(), "updated_at" = statement_timestamp()`,
  from: 'voidable',
  where: `${owned} and "id" = credit`,
  returning: selected,
  sets: ['remaining', 'voidedAt', 'updatedAt'],
})

const isThere = ({ sql, owned }: TablePlan): string => `select 1 from ${sql} where ${owned} and "id" = $2::uuid`

const balanceText = ({ sql, owned }: TablePlan): string =>
  `select "currency", sum("remaining") from ${sql} where ${owned} and ${usable} group by "currency" order by "currency"`
