import type { Executor } from '../core/executor.js'
import { statement } from '../core/statement.js'
import { planOf } from '../core/statements/table-plan.js'
import { type BillingPlan, billingPlans } from '../schema/billing-plans.js'
import { runUnbound } from './run-unbound.js'

/** The plans of the catalog. They are the same for everybody, so no scope is needed. */
export class Plans {
  constructor(private readonly executor: Executor) {}

  /** Those that are active, by `sortOrder`. */
  async list(): Promise<BillingPlan[]> {
    const rows = await runUnbound(this.executor, active, [])
    return rows.map((row) => readRow(row) as unknown as BillingPlan)
  }
}

const { sql, selected, readRow } = planOf(billingPlans)
const active = statement(`select ${selected} from ${sql} where "active" order by "sort_order", "id"`, 'read')
