import { openTenancy } from 'tenantry'
import type { BenchDatabase } from '../database.js'
import type { Peer } from './peer.js'

export async function openTenantry({ database }: BenchDatabase): Promise<Peer> {
  const keys = `bench:${Buffer.alloc(32, 1).toString('base64')}`
  const tenancy = await openTenancy({ url: database.appUrl, pool: { max: 1 }, keys })
  return {
    name: 'tenantry',
    read: (bound, { id }) => tenancy.forOrg(bound).tasks.get(id),
    close: () => tenancy.close(),
  }
}
