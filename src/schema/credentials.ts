import { foreignKey, primaryKey, unique, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { projects } from './projects.js'
import { ciphertext } from './shared/ciphertext.js'
import { id, instant, orgId, platform, timestamps } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/** A project's keys. Reading one is an audited call that needs `credentials:reveal`. */
export const credentials = platform.table(
  'credentials',
  {
    orgId: orgId(),
    id: id(),
    projectId: uuid('project_id').notNull(),
    anonKey: ciphertext('anon_key'),
    serviceRoleKey: ciphertext('service_role_key'),
    jwtSecret: ciphertext('jwt_secret'),
    rotatedAt: instant('rotated_at'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'credentials_pkey', columns: [t.orgId, t.id] }),
    unique('credentials_project_key').on(t.orgId, t.projectId),
    foreignKey({
      name: 'credentials_project_fkey',
      columns: [t.orgId, t.projectId],
      foreignColumns: [projects.orgId, projects.id],
    }).onDelete('cascade'),
    ...tenantTable('credentials', t),
  ],
)
declareTable(credentials, { kind: 'tenant', audited: true })

export const newCredentials = z.strictObject({ projectId: shape.uuid })
/** Not among the columns, so that a key can never be written in plain text. */
export const credentialSecrets = z.strictObject({
  anonKey: shape.secret,
  serviceRoleKey: shape.secret,
  jwtSecret: shape.secret,
})
/** A rotation replaces the given keys. */
export const credentialSecretsPatch = credentialSecrets.partial()

export interface Credentials extends Row<typeof credentials> {}
export interface NewCredentials extends z.input<typeof newCredentials> {}
export interface CredentialSecrets extends z.input<typeof credentialSecrets> {}
export interface CredentialSecretsPatch extends z.input<typeof credentialSecretsPatch> {}
