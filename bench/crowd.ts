import pg from 'pg'
import { openTenancy } from './built.js'
import type { BenchDatabase } from './database.js'
import type { Variant } from './measure.js'
import { find } from './variants.js'

/** Point reads of many organizations, each of them in its turn: `own` connections of tenantry, `raw` ones of pg, through `route`. */
export async function openCrowd(
  { database, everywhere }: BenchDatabase,
  { own = 10, raw = 10, route = (url: string): string => url },
) {
  const tenancy = await openTenancy({
    url: route(database.appUrl),
    pool: { max: own },
    keys: `bench:${Buffer.alloc(32, 1).toString('base64')}`,
  })
  const pool = new pg.Pool({ connectionString: route(database.adminUrl), max: raw })
  const one = (call: number) => everywhere[call % everywhere.length] as (typeof everywhere)[number]
  return {
    raw: {
      name: 'pg, named',
      call(call) {
        const { orgId, taskId } = one(call)
        return pool.query({ name: 'find', text: find, values: [orgId, taskId] })
      },
    } satisfies Variant,
    scoped: {
      name: 'tenantry',
      call(call) {
        const { orgId, taskId } = one(call)
        return tenancy.forOrg(orgId).tasks.get(taskId)
      },
    } satisfies Variant,
    async close() {
      await Promise.all([tenancy.close(), pool.end()])
    },
  }
}
