import type { PgTable } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { NotFoundError } from '../core/errors.js'
import { assertSchema } from '../core/json-schemas.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { parseInput } from '../core/values.js'
import { type Addon, addonCatalog, type NewAddon, newAddon } from '../schema/addons.js'
import { type BillingPlan, billingPlans, type NewBillingPlan, newBillingPlan } from '../schema/billing-plans.js'
import { type FeatureFlag, featureFlags, type NewFeatureFlag, newFeatureFlag } from '../schema/feature-flags.js'
import { type Llm, llms as llmsTable, type NewLlm, newLlm } from '../schema/llms.js'
import type { JsonObject } from '../schema/shared/json.js'
import * as shape from '../schema/shared/shapes.js'
import { type NewTool, newTool, type Tool, tools as toolsTable } from '../schema/tools.js'
import { operate, type SystemWork } from './system-operation.js'

/** The catalogs of the platform, which every organization reads. Each call is recorded in `system_audit_logs`. */
export class Catalogs {
  constructor(private readonly work: SystemWork) {}

  get plans(): Catalog<BillingPlan, NewBillingPlan> {
    return new Catalog(this.work, plans)
  }

  get addons(): Catalog<Addon, NewAddon> {
    return new Catalog(this.work, addons)
  }

  get flags(): Catalog<FeatureFlag, NewFeatureFlag> {
    return new Catalog(this.work, flags)
  }

  get llms(): Catalog<Llm, NewLlm> {
    return new Catalog(this.work, llms)
  }

  get tools(): Catalog<Tool, NewTool> {
    return new Catalog(this.work, tools)
  }
}

/** One catalog. A row is named by its key: the id of a plan or an add-on, the key of a flag, a language model or a tool. */
export class Catalog<Row extends object, NewRow extends object> {
  constructor(
    private readonly work: SystemWork,
    private readonly catalog: CatalogTable,
  ) {}

  /** Makes the row, or changes the one that has its key. Fields that are not given keep their values; an archived row stays archived. */
  async upsert(values: NewRow): Promise<Row> {
    const { keyProperty, uniqueKey, newRow } = this.catalog
    const given = parseInput(newRow, values) as Readonly<Record<string, unknown>>
    await this.catalog.check?.(given)
    return this.operation('upsert', String(given[keyProperty]), (rows) =>
      rows.putRow(shape.noInput, {}, uniqueKey, { managed: given }),
    )
  }

  /** Takes the row out of use. Whoever uses it keeps it: subscriptions, active add-ons, settings of organizations. Throws NotFoundError. */
  async archive(key: string): Promise<Row> {
    return this.setArchived('archive', key, this.catalog.archived)
  }

  /** Brings an archived row back into use. Throws NotFoundError. */
  async restore(key: string): Promise<Row> {
    return this.setArchived('restore', key, this.catalog.restored)
  }

  private async setArchived(verb: 'archive' | 'restore', given: string, { set, isDone }: StateChange): Promise<Row> {
    const { key } = parseInput(named, { key: given })
    return this.operation(verb, key, async (rows) => {
      const column = rows.plan.byProperty.get(this.catalog.keyProperty)?.sql ?? ''
      // A row already in that state keeps its `updated_at`.
      const statement = ownStatement(
        rows.plan,
        Catalog,
        verb,
        true,
        ({ sql, selected }) => `update ${sql} set ${set},
          "updated_at" = case when ${isDone} then "updated_at" else clock.now end
        from (select now() as now) clock where ${column} = $1::text returning ${selected}`,
      )
      const [row] = await rows.runRows(statement, () => [key])
      if (row === undefined) throw new NotFoundError(rows.plan.resource)
      return row
    })
  }

  private operation(verb: string, key: string, work: (rows: ScopedTable<Row>) => Promise<Row>): Promise<Row> {
    const { name, table } = this.catalog
    const done = operate(
      this.work,
      `catalog.${name}.${verb}`,
      undefined,
      (scope) => work(new ScopedTable<Row>(scope, table)),
      { metadata: () => ({ key }) },
    )
    return table === featureFlags ? done.finally(() => this.work.flags?.forgetAll()) : done
  }
}

const named = z.strictObject({ key: shape.label(255) })

/** How a row is archived or brought back, and the predicate of a row already in that state. */
interface StateChange {
  readonly set: string
  readonly isDone: string
}

interface CatalogTable {
  /** Its name in `system.catalog` and in the recorded operation. */
  readonly name: string
  readonly table: PgTable
  readonly keyProperty: string
  /** The unique key over that property. */
  readonly uniqueKey: string
  readonly newRow: z.ZodType
  /** Refuses values that the shape alone lets through. */
  readonly check?: (values: Readonly<Record<string, unknown>>) => Promise<void>
  readonly archived: StateChange
  readonly restored: StateChange
}

const byActive = {
  archived: { set: '"active" = false', isDone: 'not "active"' },
  restored: { set: '"active" = true', isDone: '"active"' },
}

const plans: CatalogTable = {
  name: 'plans',
  table: billingPlans,
  keyProperty: 'id',
  uniqueKey: 'billing_plans_pkey',
  newRow: newBillingPlan,
  ...byActive,
}

const addons: CatalogTable = {
  name: 'addons',
  table: addonCatalog,
  keyProperty: 'addonId',
  uniqueKey: 'addon_catalog_addon_key',
  newRow: newAddon,
  ...byActive,
}

const flags: CatalogTable = {
  name: 'flags',
  table: featureFlags,
  keyProperty: 'flagKey',
  uniqueKey: 'feature_flags_flag_key_key',
  newRow: newFeatureFlag,
  archived: {
    set: `"archived_at" = case when "archived_at" is null then clock.now else "archived_at" end`,
    isDone: '"archived_at" is not null',
  },
  restored: { set: '"archived_at" = null', isDone: '"archived_at" is null' },
}

const llms: CatalogTable = {
  name: 'llms',
  table: llmsTable,
  keyProperty: 'key',
  uniqueKey: 'llms_key_key',
  newRow: newLlm,
  ...byActive,
}

const tools: CatalogTable = {
  name: 'tools',
  table: toolsTable,
  keyProperty: 'key',
  uniqueKey: 'tools_key_key',
  newRow: newTool,
  async check({ inputSchema }) {
    if (inputSchema !== undefined) await assertSchema(inputSchema as JsonObject, 'inputSchema')
  },
  ...byActive,
}
