import { is } from 'drizzle-orm'
import {
  getMaterializedViewConfig,
  getViewConfig,
  isPgEnum,
  isPgMaterializedView,
  isPgSequence,
  isPgView,
  PgPolicy,
} from 'drizzle-orm/pg-core'
import type { Finding } from './rule.js'

/** A convention for exports of a schema module other than tables. */
export interface ExportRule {
  readonly name: string
  readonly reason: string
  check(value: unknown): Omit<Finding, 'rule'> | undefined
}

const view: ExportRule = {
  name: 'view',
  reason:
    "A view reads with the rights of its owner, for whom there is no row security; a materialized one holds every organization's rows.",
  check(value) {
    if (isPgMaterializedView(value)) {
      const { schema, name } = getMaterializedViewConfig(value)
      const table = `${schema ?? 'public'}.${name}`
      return {
        table,
        message: `${table} is a materialized view, which has no row security. Use a table of the organization that a job fills.`,
      }
    }
    if (!isPgView(value)) return undefined
    const { schema, name, isExisting, with: options } = getViewConfig(value)
    if (isExisting || options?.securityInvoker === true) return undefined
    const table = `${schema ?? 'public'}.${name}`
    return {
      table,
      message: `${table} is a view that bypasses row security. Add \`.with({ securityInvoker: true })\`.`,
    }
  },
}

const strayPolicy: ExportRule = {
  name: 'stray-policy',
  reason:
    'A policy that is linked to a table from outside opens rows, and the definition of the table does not show it.',
  check(value) {
    if (!is(value, PgPolicy)) return undefined
    return {
      table: value.name,
      message: `The policy ${value.name} is outside of a table. Remove it: a table has exactly the policies of its helper.`,
    }
  },
}

const sharedType: ExportRule = {
  name: 'shared-type',
  reason: 'Enums are not compared leakproof; sequences count over all organizations.',
  check(value) {
    if (isPgEnum(value)) {
      const table = `${value.schema ?? 'public'}.${value.enumName}`
      return {
        table,
        message: `${table} is an enum. Write \`state(name, words)\` with a \`stateCheck\` over the same list.`,
      }
    }
    if (!isPgSequence(value)) return undefined
    const table = `${value.schema ?? 'public'}.${value.seqName ?? ''}`
    return {
      table,
      message: `${table} is a sequence. Write \`id()\` for an id, or count in a row of the organization.`,
    }
  },
}

export const exportRules: readonly ExportRule[] = [view, strayPolicy, sharedType]
