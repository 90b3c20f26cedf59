import { afterAll, beforeAll } from 'vitest'
import type { Org } from '../../src/org.js'
import { openTenancy, type OrgOptions, type Tenancy } from '../../src/tenancy.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'

/** Signs the cursors of tests. */
const testKeys = `test:${Buffer.alloc(32, 7).toString('base64')}`

/** A database of the test file's own, served as an application serves it: as the restricted login, through openTenancy. */
export function useTenancy() {
  const database = useDatabase()
  let opened: Tenancy | undefined
  beforeAll(async () => {
    opened = await openTenancy({ url: database.appUrl, pool: { max: 8 }, keys: testKeys })
  })
  afterAll(() => opened?.close({ drain: 0 }))
  const tenancy = (): Tenancy => {
    if (opened === undefined) throw new Error('read the tenancy in tests and hooks only')
    return opened
  }
  return {
    database,
    get tenancy() {
      return tenancy()
    },
    /** An organization of the test's own: nothing has to be cleaned up, because nobody else can see it. */
    newOrg: async (options?: OrgOptions): Promise<Org> =>
      tenancy().forOrg(await createOrganization(database.admin), options),
    newUser: (): Promise<string> => createUser(database.admin),
  }
}
