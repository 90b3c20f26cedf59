import { openTenancy } from './built.js'
import type { BenchDatabase } from './database.js'
import type { Variant } from './measure.js'

const keys = `bench:${Buffer.alloc(32, 1).toString('base64')}`

/** A sealed column against a plain one, and its reveal against a point read. */
export async function openSealed({ orgId, database }: BenchDatabase) {
  const { appUrl: url, systemUrl } = database
  const tenancy = await openTenancy({ url, systemUrl, pool: { max: 1 }, keys })
  await tenancy.system({ actor: 'bench', reason: 'sealed columns' }).keys.ensure()
  const org = () => tenancy.forOrg(orgId)
  const { id } = await org().projects.create({ name: 'Bench', slug: 'bench' })
  await org().projects.credentials.setDatabasePassword(id, 'password')
  return {
    write: { name: 'plain write', call: (call) => org().projects.update(id, { region: `r${call}` }) } satisfies Variant,
    sealedWrite: {
      name: 'tenantry, sealed write',
      call: (call) => org().projects.credentials.setDatabasePassword(id, `p${call}`),
    } satisfies Variant,
    read: { name: 'point read', call: () => org().projects.get(id) } satisfies Variant,
    reveal: {
      name: 'tenantry, reveal',
      call: () => org().projects.credentials.revealDatabasePassword(id),
    } satisfies Variant,
    close: () => tenancy.close(),
  }
}
