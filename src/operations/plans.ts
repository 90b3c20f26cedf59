import type { Executor } from '../core/executor.js'
import { newId } from '../core/ids.js'
import { statement } from '../core/statement.js'
import { planOf } from '../core/statements/table-plan.js'
import { type BillingPlan, billingPlans } from '../schema/billing-plans.js'

/** The plans of the catalog. They are the same for everybody, so no scope is needed. */
export class Plans {
  constructor(private readonly executor: Executor) {}

  /** Those that are active, by `sortOrder`. */
  async list(): Promise<BillingPlan[]> {
    // The catalog belongs to nobody, so the connection is bound to a person who does not exist.
    const [found] = await this.executor.run({ kind: 'user', id: newId() }, [{ statement: active, values: [] }])
    return (found?.rows ?? []).map((row) => readRow(row) as unknown as BillingPlan)
  }
}

const { sql, selected, readRow } = planOf(billingPlans)
const active = statement(`select ${selected} from ${sql} where "active" order by "sort_order", "id"`, 'read')
