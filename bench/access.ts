import { createUser } from '../src/testing/fixtures.js'
import { openTenancy } from './built.js'
import type { BenchDatabase } from './database.js'
import type { Variant } from './measure.js'

const keys = `bench:${Buffer.alloc(32, 1).toString('base64')}`

/** A read without an actor, one that is checked, and the authentications that come before one. Over one connection. */
export async function openAccess({ orgId, taskIds, database }: BenchDatabase) {
  const tenancy = await openTenancy({ url: database.appUrl, pool: { max: 1 }, keys })
  const backend = tenancy.forOrg(orgId)
  const permissions = ['tasks:read', 'tasks:write', 'agents:read', 'agents:write', 'projects:read', 'workflows:read']
  await backend.roles.create({ key: 'bench', name: 'Bench', permissions })
  const userId = await createUser(database.admin)
  await backend.members.add({ userId, email: `${userId}@example.com`, role: 'bench' })
  const key = { userId, name: 'bench', scopes: permissions }
  const { token } = await backend.apiKeys.create(key)
  const limit = { name: 'bench, limited', rateLimitPerHour: 1_000_000_000 }
  const limited = await backend.apiKeys.create({ ...key, ...limit })
  const session = await tenancy.forUser(userId).sessions.start({ activeOrg: orgId })
  const actor = await backend.actorFor(userId)
  await database.admin.query('vacuum analyze')
  const id = (call: number): string => taskIds[(call * 7919) % taskIds.length] ?? ''
  return {
    read: { name: 'a scoped read', call: (call) => tenancy.forOrg(orgId).tasks.get(id(call)) } satisfies Variant,
    checked: {
      name: 'a read that is checked',
      call: (call) => tenancy.forOrg(orgId, { actor }).tasks.get(id(call)),
    } satisfies Variant,
    key: { name: 'authenticateApiKey', call: () => tenancy.authenticateApiKey(token) } satisfies Variant,
    limited: {
      name: 'authenticateApiKey, with an hourly limit',
      call: () => tenancy.authenticateApiKey(limited.token),
    } satisfies Variant,
    session: { name: 'authenticateSession', call: () => tenancy.authenticateSession(session.token) } satisfies Variant,
    close: () => tenancy.close(),
  }
}
