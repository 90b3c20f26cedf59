import { boolean, check, foreignKey, index, primaryKey, smallint, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { id, instant, literal, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import { attributedTo, attribution } from './shared/references.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/** A feature flag of the platform. It is decided by `enabled`, the kill switch, then by overrides, the rollout and the default. */
export const featureFlags = platform.table(
  'feature_flags',
  {
    id: id().primaryKey(),
    flagKey: text('flag_key').notNull(),
    flagName: text('flag_name').notNull(),
    description: text('description'),
    enabled: boolean('enabled').notNull().default(false),
    defaultValue: boolean('default_value').notNull().default(false),
    rolloutPercentage: smallint('rollout_percentage').notNull().default(0),
    archivedAt: instant('archived_at'),
    ...timestamps(),
  },
  (t) => [
    unique('feature_flags_flag_key_key').on(t.flagKey),
    check('feature_flags_rollout_percentage_check', literal('rollout_percentage between 0 and 100')),
  ],
)
declareTable(featureFlags, { kind: 'catalog' })

/** An organization's override of a flag, until it expires. */
export const organizationFeatureFlags = platform.table(
  'organization_feature_flags',
  {
    orgId: orgId(),
    id: id(),
    flagId: uuid('flag_id').notNull(),
    enabled: boolean('enabled').notNull(),
    reason: text('reason'),
    expiresAt: instant('expires_at'),
    setBy: attribution('set_by'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'organization_feature_flags_pkey', columns: [t.orgId, t.id] }),
    unique('organization_feature_flags_flag_key').on(t.orgId, t.flagId),
    foreignKey({
      name: 'organization_feature_flags_flag_fkey',
      columns: [t.flagId],
      foreignColumns: [featureFlags.id],
    }).onDelete('cascade'),
    index('organization_feature_flags_flag_idx').on(t.flagId),
    ...attributedTo('organization_feature_flags', t.setBy, t.orgId),
    ...tenantTable('organization_feature_flags', t),
  ],
)
declareTable(organizationFeatureFlags, { kind: 'tenant', audited: true })

export const newFeatureFlag = z.strictObject({
  flagKey: z
    .string()
    .max(100)
    .regex(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/, 'must be lower-case letters, digits, dots and hyphens'),
  flagName: shape.label(),
  description: shape.text(1000).nullish(),
  enabled: z.boolean().optional(),
  defaultValue: z.boolean().optional(),
  rolloutPercentage: shape.int(0, 100).optional(),
})
export const featureFlagPatch = newFeatureFlag.omit({ flagKey: true }).partial()
export const newFlagOverride = z.strictObject({
  flagId: shape.uuid,
  enabled: z.boolean(),
  reason: shape.text(1000).nullish(),
  expiresAt: shape.instant.nullish(),
})
export const flagOverrideValues = newFlagOverride.omit({ flagId: true })
export const flagOverridePatch = flagOverrideValues.partial()

export interface FeatureFlag extends Row<typeof featureFlags> {}
export interface NewFeatureFlag extends z.input<typeof newFeatureFlag> {}
export interface FeatureFlagPatch extends z.input<typeof featureFlagPatch> {}
export interface FlagOverride extends Row<typeof organizationFeatureFlags> {}
export interface NewFlagOverride extends z.input<typeof newFlagOverride> {}
export interface FlagOverrideValues extends z.input<typeof flagOverrideValues> {}
export interface FlagOverridePatch extends z.input<typeof flagOverridePatch> {}
