import { newId } from '../core/ids.js'
import { declare, type OwnTables } from '../declared.js'
import { openEmbeddedDatabase } from '../embedded.js'
import { passingKeyring } from '../encryption/keyring.js'
import { secretsOf } from '../encryption/secrets.js'
import { seed } from '../migrations/seed.js'
import type { Org } from '../org.js'
import { type OrgOptions, Tenancy } from '../tenancy.js'
import type { TenancyOptions } from '../tenancy-options.js'

export interface EmbeddedTenancy {
  readonly tenancy: Tenancy
  /**
   * Creates an organization for the test, as `tenancy.system().organizations.provision` does: with the built-in roles, a plan without
   * limits and an owner, whom `org.members.list({ role: 'owner' })` finds.
   */
  readonly newOrg: (options?: OrgOptions & { name?: string }) => Promise<Org>
  readonly close: () => Promise<void>
}

/**
 * A tenancy in this process's memory, for quick tests and trials, with the catalogs of `tenantry seed`. It has one connection, and does
 * not prove how a server behaves.
 */
export async function openEmbeddedTenancy(
  own?: OwnTables,
  options: Pick<TenancyOptions, 'debug' | 'onQuery'> = {},
): Promise<EmbeddedTenancy> {
  const declared = await declare(own)
  const executor = await openEmbeddedDatabase(true, declared, options.debug, seed)
  const settings = { ...options, tables: declared.tables, allPermissions: declared.allPermissions }
  const tenancy = new Tenancy(executor, secretsOf(passingKeyring()), settings, executor)
  const { organizations } = tenancy.system({ actor: 'openEmbeddedTenancy', reason: 'newOrg' })
  return {
    tenancy,
    async newOrg({ name, ...options } = {}) {
      const key = newId()
      const slug = `org-${key}`
      const owner = { email: `owner-${key}@example.com`, emailConfirmed: true }
      const { organization } = await organizations.provision({
        key,
        name: name ?? slug,
        slug,
        plan: 'tier_enterprise',
        owner,
      })
      return tenancy.forOrg(organization.id, options)
    },
    close: () => tenancy.close(),
  }
}
