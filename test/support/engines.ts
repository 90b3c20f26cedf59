import type { PGlite } from '@electric-sql/pglite'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { afterEach } from 'vitest'
import { statement } from '../../src/core/statement.js'
import { newId } from '../../src/core/ids.js'
import { openEmbedded } from '../../src/database/embedded.js'
import { type Declared, declare } from '../../src/declared.js'
import { openMigrated } from '../../src/embedded.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type OrgOptions, Tenancy } from '../../src/tenancy.js'
import type { TenancyOptions } from '../../src/tenancy-options.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'

export const engines = ['server', 'embedded'] as const
export type Engine = (typeof engines)[number]

type Options = Pick<TenancyOptions, 'onQuery' | 'debug'>

interface Opened {
  readonly tenancy: Tenancy
  newOrg(options?: OrgOptions): Promise<Org>
}

const insertOrganization = statement(
  'insert into platform.organizations (id, name, slug, temporal_namespace) values ($1, $2, $2, $2)',
)

/** For tests that are to hold over a server and over the embedded database: opens a tenancy that ends with the test. */
export function useEngines() {
  const database = useDatabase()
  const tenancies: Tenancy[] = []
  afterEach(() => Promise.all(tenancies.splice(0).map((tenancy) => tenancy.close({ drain: 0 }))))
  const open: Record<Engine, (options: Options) => Promise<Opened>> = {
    async server(options) {
      const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
      const tenancy = await openTenancy({ url: database.appUrl, pool: { max: 4 }, keys, ...options })
      tenancies.push(tenancy)
      return { tenancy, newOrg: async (given) => tenancy.forOrg(await createOrganization(database.admin), given) }
    },
    async embedded(options) {
      const { database, declared } = await migrated()
      const executor = await openEmbedded(database, { lookup: declared.lookup, debug: options.debug })
      const tenancy = new Tenancy(executor, secretsOf(passingKeyring()), options, executor)
      return {
        tenancy,
        async newOrg(given) {
          const id = newId()
          await executor.run({ kind: 'system', about: undefined }, [
            { statement: insertOrganization, values: [id, `org-${id}`] },
          ])
          return tenancy.forOrg(id, given)
        },
      }
    },
  }
  return {
    open: (engine: Engine, options: Options = {}): Promise<Opened> => open[engine](options),
    /** Runs a statement as the owner of the tables. */
    asOwner: async (engine: Engine, text: string): Promise<void> => {
      if (engine === 'server') await database.admin.query(text)
      else {
        const { database } = await migrated()
        await database.exec(`set session authorization postgres; ${text}; set session authorization tenantry_app`)
      }
    },
  }
}

let embedded: Promise<{ database: PGlite; declared: Declared }> | undefined

/** One for all files of a worker, because it takes a second to open. It ends with the process. */
function migrated(): Promise<{ database: PGlite; declared: Declared }> {
  embedded ??= declare(undefined).then(async (declared) => ({ database: await openMigrated(true, declared), declared }))
  return embedded
}
