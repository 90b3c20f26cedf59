import { boolean, check, foreignKey, index, integer, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { projects } from './projects.js'
import {
  currency,
  id,
  instant,
  literal,
  money,
  numberCheck,
  orgId,
  platform,
  state,
  stateCheck,
  timestamps,
} from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const projectAddonStatuses = ['active', 'inactive', 'pending'] as const

const addonVariant = z.strictObject({
  variant: shape.label(100),
  name: shape.label(),
  price: shape.money,
  currency: shape.currency,
})

/** A variant of an add-on, with its price. */
export interface AddonVariant extends z.output<typeof addonVariant> {}

/** A paid extra for a project. A price change here does not affect active add-ons. */
export const addonCatalog = platform.table(
  'addon_catalog',
  {
    id: id().primaryKey(),
    addonId: text('addon_id').notNull(),
    name: text('name').notNull(),
    type: text('type').notNull(),
    description: text('description'),
    variants: json<AddonVariant[]>('variants').notNull().default([]),
    active: boolean('active').notNull().default(true),
    ...timestamps(),
  },
  (t) => [unique('addon_catalog_addon_key').on(t.addonId)],
)
declareTable(addonCatalog, { kind: 'catalog' })

/** An add-on that a project has or had: one row for each, with the catalog price at its activation. */
export const projectAddons = platform.table(
  'project_addons',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id').notNull(),
    addonId: text('addon_id').notNull(),
    addonVariant: text('addon_variant'),
    quantity: integer('quantity').notNull().default(1),
    pricePerUnit: money('price_per_unit'),
    currency: currency().notNull(),
    status: state('status', projectAddonStatuses).notNull().default('active'),
    activatedAt: instant('activated_at').notNull().defaultNow(),
    deactivatedAt: instant('deactivated_at'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'project_addons_pkey', columns: [t.orgId, t.id] }),
    unique('project_addons_project_addon_key').on(t.orgId, t.projectId, t.addonId),
    foreignKey({
      name: 'project_addons_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'project_addons_addon_fkey',
      columns: [t.addonId],
      foreignColumns: [addonCatalog.addonId],
    }),
    index('project_addons_status_idx').on(t.orgId, t.status, t.id),
    index('project_addons_addon_idx').on(t.orgId, t.addonId),
    check('project_addons_quantity_check', literal('quantity >= 1')),
    numberCheck('project_addons_price_per_unit_check', 'price_per_unit'),
    stateCheck('project_addons_status_check', 'status', projectAddonStatuses),
    ...tenantTable('project_addons', t),
  ],
)
declareTable(projectAddons, { kind: 'tenant', audited: true })

const areDistinct = (variants: readonly { variant: string }[]) =>
  new Set(variants.map(({ variant }) => variant)).size === variants.length

export const newAddon = z.strictObject({
  addonId: shape.key,
  name: shape.label(),
  type: shape.label(63),
  description: shape.text(1000).nullish(),
  variants: z.array(shape.own(addonVariant)).max(100).refine(areDistinct, 'names a variant twice').optional(),
  active: z.boolean().optional(),
})
export const addonPatch = newAddon.omit({ addonId: true }).partial()

export const newProjectAddon = z.strictObject({
  projectId: shape.uuid,
  addonId: shape.label(63),
  addonVariant: shape.label(100).nullish(),
  quantity: shape.int(1, shape.maxInt).optional(),
})
export const projectAddonPatch = newProjectAddon.pick({ addonVariant: true, quantity: true }).partial()

export interface Addon extends Row<typeof addonCatalog> {}
export interface NewAddon extends z.input<typeof newAddon> {}
export interface AddonPatch extends z.input<typeof addonPatch> {}
export interface ProjectAddon extends Row<typeof projectAddons> {}
export interface NewProjectAddon extends z.input<typeof newProjectAddon> {}
export interface ProjectAddonPatch extends z.input<typeof projectAddonPatch> {}
