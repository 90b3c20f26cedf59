import { newId, parseOrgId } from '../core/ids.js'
import { statement } from '../core/statement.js'
import { declare, type OwnTables } from '../declared.js'
import { openEmbeddedDatabase } from '../embedded.js'
import { passingKeyring } from '../encryption/keyring.js'
import { secretsOf } from '../encryption/secrets.js'
import type { Org } from '../org.js'
import { type OrgOptions, Tenancy } from '../tenancy.js'
import type { TenancyOptions } from '../tenancy-options.js'

export interface EmbeddedTenancy {
  readonly tenancy: Tenancy
  /** Creates an organization for the test. */
  readonly newOrg: (options?: OrgOptions & { name?: string }) => Promise<Org>
  readonly close: () => Promise<void>
}

const insertOrganization = statement(
  'insert into platform.organizations (id, name, slug, temporal_namespace) values ($1, $2, $3, $3)',
)

/**
 * A tenancy in this process's memory, for quick tests and trials. It has one connection, and does not prove how a server behaves.
 */
export async function openEmbeddedTenancy(
  own?: OwnTables,
  options: Pick<TenancyOptions, 'debug' | 'onQuery'> = {},
): Promise<EmbeddedTenancy> {
  const declared = await declare(own)
  const executor = await openEmbeddedDatabase(true, declared, options.debug)
  const opened = { ...options, catalog: declared.catalog }
  const tenancy = new Tenancy(executor, secretsOf(passingKeyring()), opened, executor)
  return {
    tenancy,
    async newOrg({ name, ...options } = {}) {
      const id = parseOrgId(newId())
      const slug = `org-${id}`
      await executor.run({ kind: 'system', about: undefined }, [
        { statement: insertOrganization, values: [id, name ?? slug, slug] },
      ])
      return tenancy.forOrg(id, options)
    },
    close: () => tenancy.close(),
  }
}
