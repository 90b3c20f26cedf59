import { declare, type OwnTables } from '../declared.js'
import { openEmbeddedDatabase } from '../embedded.js'
import { passingKeyring } from '../encryption/keyring.js'
import { secretsOf } from '../encryption/secrets.js'
import { seed } from '../migrations/seed.js'
import type { Org } from '../org.js'
import { Tenancy } from '../tenancy.js'
import type { TenancyOptions } from '../tenancy-options.js'
import { newOrg, type NewOrgOptions } from './members.js'

export interface EmbeddedTenancy {
  readonly tenancy: Tenancy
  /** `newOrg(tenancy, options)`: an organization for the test, with the built-in roles, a plan without limits and an owner. */
  readonly newOrg: (options?: NewOrgOptions) => Promise<Org>
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
  return {
    tenancy,
    newOrg: (options) => newOrg(tenancy, options),
    close: () => tenancy.close(),
  }
}
