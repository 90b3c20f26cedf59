import { openTenancy, type Tenancy } from 'tenantry'
import { openEmbeddedTenancy } from 'tenantry/testing'

/**
 * The database of DATABASE_URL; without it one in this process, which is gone when it ends. Requests need no way across organizations,
 * so the server does not have the system's login.
 */
export async function open(): Promise<Tenancy> {
  const { DATABASE_URL: url } = process.env
  if (url === undefined) return (await openEmbeddedTenancy()).tenancy
  return openTenancy({ url })
}
