import { databaseTime } from '../core/database-time.js'
import { BrokenReferenceError, ConflictError, InvalidInputError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { PutSchema } from '../core/row-options.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { planOfChildren, planWithin } from '../core/statements/table-plan.js'
import type { Guard } from '../core/statements/guard.js'
import { refusedVerb } from '../core/statements/updates.js'
import { ownProperties, parseInput, type Values } from '../core/values.js'
import {
  type AddonVariant,
  type NewProjectAddon,
  newProjectAddon,
  type ProjectAddon,
  projectAddonPatch,
  type ProjectAddonPatch,
  projectAddons,
} from '../schema/addons.js'
import { inProject } from '../schema/in-project.js'
import * as shape from '../schema/shared/shapes.js'

export interface AddonChoice extends Omit<NewProjectAddon, 'projectId'> {}

/** An add-on of a project, and what it costs. */
export interface PricedAddon extends ProjectAddon {
  /** The price times the quantity, as an exact decimal. Null where the row has no price. */
  readonly amount: string | null
}

/** What the active add-ons cost in one currency, as an exact decimal. */
export interface AddonTotal {
  readonly currency: string
  readonly amount: string
}

export interface ProjectAddonList {
  /** Active, pending and former ones, by the id of the add-on. */
  readonly items: readonly PricedAddon[]
  /** One for each currency in which an active add-on is priced. */
  readonly totals: readonly AddonTotal[]
}

const options = { permission: 'projects' }

const notActive: Guard = {
  when: `"project_addons"."status" <> 'active'`,
  ask: '"status"',
  refuse: () =>
    new ConflictError('project_addons', ['addonId'], 'project_addons: the add-on is active already; use changeVariant'),
}

const whileActive = (verb: string): Guard => ({
  when: `"status" = 'active'`,
  ask: '"status"',
  refuse: ([status]) => refusedVerb('project_addons', verb, String(status), ['active']),
})

/**
 * The paid extras of projects. The price is that of the catalog at the moment of activation, and no later change of the catalog
 * changes it. Those of a deleted project are hidden with it.
 */
export class ProjectAddons {
  constructor(private readonly scope: Scope) {}

  /** What the project has or had, each with its amount, and the sum of the active ones in each currency. */
  list(projectId: string): Query<ProjectAddonList> {
    return this.scope.query(() => {
      const project = parseId(projectId, 'projectId')
      this.scope.context.rules.authorize('projects:read', project)
      const plan = planWithin(projectAddons, inProject)
      const priced = ownStatement(plan, ProjectAddons, 'priced', false, ({ sql, selected, visible }) => {
        const sum = `sum("price_per_unit" * "quantity") filter (where "status" = 'active')`
        return `select ${selected}, ("price_per_unit" * "quantity")::text, (${sum} over (partition by "currency"))::text
          from ${sql} where ${visible} order by "addon_id"`
      })
      return planned({ statement: priced, values: [ownerId(this.scope, 'org'), project] }, ({ rows }) => {
        const items = rows.map((row) => ({ ...plan.readRow(row), amount: row.at(-2) }) as unknown as PricedAddon)
        const totals = new Map(items.map(({ currency }, index) => [currency, rows[index]?.at(-1) as string | null]))
        return {
          items,
          totals: [...totals].flatMap(([currency, amount]) => (amount === null ? [] : [{ currency, amount }])),
        }
      })
    })
  }

  /**
   * Activates an add-on at the price that the catalog has now, also one that the project had before. The variant may be left out where
   * the catalog has one alone. Throws ConflictError for an add-on that is active already or no longer offered, BrokenReferenceError for
   * one that the catalog does not have or a project that is not there, InvalidInputError for an unknown variant.
   */
  activate(projectId: string, choice: AddonChoice): Promise<ProjectAddon> {
    return this.managing(projectId, async (scope) => {
      const {
        addonId,
        addonVariant,
        quantity = 1,
      } = parseInput(newProjectAddon, { ...ownProperties(choice), projectId })
      const price = await priceOf(scope, addonId, addonVariant)
      const managed = { projectId, addonId, quantity, ...price, ...(await activeSince(scope)) }
      const plan = planOfChildren(projectAddons, inProject)
      const rows = new ScopedTable<ProjectAddon>(scope, projectAddons, options, { project: projectId, plan })
      const put = { managed, guard: notActive, event: 'activate' }
      return rows.putRow(noInput, {}, 'project_addons_project_addon_key', put)
    })
  }

  /**
   * Takes another variant at the price that the catalog has now, or another quantity at the price that the add-on has. Throws
   * NotFoundError for an add-on that the project never had, ConflictError for one that is not active or no longer offered.
   */
  changeVariant(projectId: string, addonId: string, change: ProjectAddonPatch): Promise<ProjectAddon> {
    return this.managing(projectId, async (scope) => {
      const { addonVariant, quantity } = parseInput(projectAddonPatch, change)
      const rows = this.of(projectId, scope)
      const { id } = await rows.getRow({ addonId })
      const price = addonVariant === undefined ? {} : await priceOf(scope, addonId, addonVariant)
      const managed = { ...price, ...(quantity !== undefined && { quantity }) }
      const event = 'changeVariant'
      return rows.updateRow(shape.noInput, id, {}, { managed, guard: whileActive(event), event })
    })
  }

  /** Ends the add-on. The row stays, with its last price. Throws NotFoundError, and ConflictError for one that is not active. */
  deactivate(projectId: string, addonId: string): Promise<ProjectAddon> {
    return this.managing(projectId, async (scope) => {
      const rows = this.of(projectId, scope)
      const { id } = await rows.getRow({ addonId })
      const managed = { status: 'inactive', deactivatedAt: await databaseTime(scope) }
      const event = 'deactivate'
      return rows.updateRow(shape.noInput, id, {}, { managed, guard: whileActive(event), event })
    })
  }

  private managing<T>(projectId: string, work: (scope: Scope) => Promise<T>): Promise<T> {
    return this.scope.steps(async (scope) => {
      scope.context.rules.authorize('projects:write', parseId(projectId, 'projectId'))
      return work(scope)
    })
  }

  private of(projectId: string, scope: Scope): ScopedTable<ProjectAddon> {
    const use = { project: projectId, plan: planWithin(projectAddons, inProject) }
    return new ScopedTable<ProjectAddon>(scope, projectAddons, options, use)
  }
}

const noInput = shape.noInput as PutSchema<ProjectAddon, typeof shape.noInput>

const catalogRow = statement('select active, variants from platform.addon_catalog where $1::text = addon_id', 'read')

/** The variant with its price in the catalog. */
async function priceOf(scope: Scope, addonId: string, variant: string | null | undefined): Promise<Values> {
  const found = await scope.query(() =>
    planned(
      { statement: catalogRow, values: [addonId] },
      ({ rows: [row] }) => row as [boolean, AddonVariant[]] | undefined,
    ),
  )
  if (found === undefined) throw new BrokenReferenceError('project_addons', ['addonId'])
  const [isOffered, variants] = found
  if (!isOffered)
    throw new ConflictError('project_addons', ['addonId'], `project_addons: ${addonId} is no longer offered`)
  const chosen =
    (variant ?? undefined) === undefined && variants.length === 1
      ? variants[0]
      : variants.find((one) => one.variant === variant)
  if (chosen === undefined) {
    const names = variants.map((one) => one.variant).join(', ')
    throw new InvalidInputError('addonVariant', `must be a variant that the catalog has of ${addonId}: ${names}`)
  }
  return { addonVariant: chosen.variant, pricePerUnit: chosen.price, currency: chosen.currency }
}

const activeSince = async (scope: Scope): Promise<Values> => ({
  status: 'active',
  activatedAt: await databaseTime(scope),
  deactivatedAt: null,
})
