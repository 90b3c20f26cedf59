import { ZenStackClient } from '@zenstackhq/orm'
import { PostgresDialect } from '@zenstackhq/orm/dialects/postgres'
import { PolicyPlugin } from '@zenstackhq/plugin-policy'
import pg from 'pg'
import { schema } from './generated/zenstack/schema.js'
import type { BenchDatabase } from '../database.js'
import type { Peer } from './peer.js'

/** It isolates by the access policies of schema.zmodel, which it adds to every query; row security is not used. */
export function openZenStack({ database }: BenchDatabase): Peer {
  const pool = new pg.Pool({ connectionString: database.adminUrl, max: 1 })
  const db = new ZenStackClient(schema, { dialect: new PostgresDialect({ pool }) }).$use(new PolicyPlugin())
  return {
    name: 'ZenStack, access policy',
    goal: 4.8,
    read: (bound, { orgId, id }) =>
      db.$setAuth({ orgId: bound }).task.findUnique({ where: { org_id_id: { org_id: orgId, id } } }),
    close: () => db.$disconnect(),
  }
}
