import { openTenancy, type Tenancy } from 'tenantry'
import { openEmbeddedTenancy } from 'tenantry/testing'

/** The database of DATABASE_URL and SYSTEM_DATABASE_URL; without them one in this process, which is gone when it ends. */
export async function open(): Promise<Tenancy> {
  const { DATABASE_URL: url, SYSTEM_DATABASE_URL: systemUrl } = process.env
  if (url === undefined) return (await openEmbeddedTenancy()).tenancy
  return openTenancy({ url, systemUrl })
}
