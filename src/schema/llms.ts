import { boolean, foreignKey, index, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { ciphertext } from './shared/ciphertext.js'
import { id, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/** A language model provider that the platform knows. */
export const llms = platform.table(
  'llms',
  {
    id: id().primaryKey(),
    key: text('key').notNull(),
    name: text('name').notNull(),
    provider: text('provider').notNull(),
    models: json<readonly string[]>('models').notNull().default([]),
    active: boolean('active').notNull().default(true),
    ...timestamps(),
  },
  (t) => [unique('llms_key_key').on(t.key)],
)
declareTable(llms, { kind: 'catalog' })

/** A provider as configured by one organization, with its own key. */
export const organizationLlms = platform.table(
  'organization_llms',
  {
    orgId: orgId(),
    id: id(),
    llmId: uuid('llm_id').notNull(),
    apiKey: ciphertext('api_key'),
    defaultModel: text('default_model'),
    /** The organization's settings, by model. */
    models: json<JsonObject>('models').notNull().default({}),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'organization_llms_pkey', columns: [t.orgId, t.id] }),
    unique('organization_llms_llm_key').on(t.orgId, t.llmId),
    foreignKey({ name: 'organization_llms_llm_fkey', columns: [t.llmId], foreignColumns: [llms.id] }),
    index('organization_llms_llm_idx').on(t.llmId),
    ...tenantTable('organization_llms', t),
  ],
)
declareTable(organizationLlms, { kind: 'tenant', audited: true })

export const newLlm = z.strictObject({
  key: shape.slug,
  name: shape.label(),
  provider: shape.label(100),
  models: z.array(shape.label()).max(1000).optional(),
  active: z.boolean().optional(),
})
export const llmPatch = newLlm.omit({ key: true }).partial()
export const newOrganizationLlm = z.strictObject({
  llmId: shape.uuid,
  /** Encrypted before it is stored; only `reveal()` decrypts it. */
  apiKey: shape.secret.optional(),
  defaultModel: shape.label().nullish(),
  models: shape.jsonObject.optional(),
})
export const organizationLlmPatch = newOrganizationLlm.omit({ llmId: true }).partial()
export const llmConfiguration = newOrganizationLlm.omit({ llmId: true }).extend({
  /** The key of the language model in the catalog: `openai`. */
  llm: shape.slug,
})
export const organizationLlmKey = newOrganizationLlm.pick({ apiKey: true }).required()

export interface Llm extends Row<typeof llms> {}
export interface NewLlm extends z.input<typeof newLlm> {}
export interface LlmPatch extends z.input<typeof llmPatch> {}
export interface OrganizationLlm extends Row<typeof organizationLlms> {}
export interface NewOrganizationLlm extends z.input<typeof newOrganizationLlm> {}
export interface OrganizationLlmPatch extends z.input<typeof organizationLlmPatch> {}
export interface LlmConfiguration extends z.input<typeof llmConfiguration> {}
