import { randomBytes } from 'node:crypto'
import type { Executor, Statement } from '../core/executor.js'
import { openNodePostgres } from '../database/node-postgres.js'
import { declare, type OwnTables } from '../declared.js'
import { passingKeyring } from '../encryption/keyring.js'
import { secretsOf } from '../encryption/secrets.js'
import type { Session } from '../database/session.js'
import { Tenancy } from '../tenancy.js'
import { insertDataKey } from './data-keys.js'

/** One of the two checks that separate organizations: the `org_id = $1` of every statement, or row security. */
export type Wall = 'predicates' | 'row security'

export interface WallOptions {
  readonly appUrl: string
  readonly admin: Session
  readonly without?: Wall
  readonly own?: OwnTables
}

export interface OpenedWithout {
  readonly tenancy: Tenancy
  readonly count: () => number
  /** Gives an organization a key for its sealed columns. */
  readonly addKey: (orgId: string) => Promise<void>
}

/** A tenancy that counts its round trips, and may lack one wall. Only tests can open it. */
export async function openWithout(options: WallOptions): Promise<OpenedWithout> {
  const declared = await declare(options.own)
  const url = options.without === 'row security' ? await unboundLogin(options) : options.appUrl
  const executor = openNodePostgres({ pool: { connectionString: url, max: 4 }, lookup: declared.lookup })
  let queries = 0
  const counting: Executor = {
    run: (binding, calls, given) => {
      queries++
      return executor.run(binding, calls.map(rewrite), given)
    },
    begin: async (binding, given) => {
      const transaction = await executor.begin(binding, given)
      return Object.assign(Object.create(transaction) as typeof transaction, {
        run: (calls: Parameters<typeof transaction.run>[0]) => {
          queries++
          return transaction.run(calls.map(rewrite))
        },
      })
    },
    ping: () => executor.ping(),
    close: (given) => executor.close(given),
  }
  const rewrite: <T extends { statement: Statement }>(call: T) => T =
    options.without === 'predicates' ? withoutPredicate : (call) => call
  const { allPermissions } = declared
  const secrets = secretsOf(passingKeyring())
  const tenancy = new Tenancy(counting, secrets, { allPermissions })
  return { tenancy, count: () => queries, addKey: (orgId) => insertDataKey(options.admin, secrets.dataKeys, orgId) }
}

/** The same statement, in which `$1`, the organization or the person, is compared with nothing. */
function withoutPredicate<T extends { statement: Statement }>(call: T): T {
  const text = call.statement.text.replaceAll(/(?:\w+\.)?"?(?:org_id|user_id|id)"? = \$1\b/g, '$1::uuid is not null')
  return { ...call, statement: { ...call.statement, name: '', text } }
}

/** A login with the rights of the application's, to which row security does not apply. */
async function unboundLogin({ admin, appUrl }: WallOptions): Promise<string> {
  const url = new URL(appUrl)
  const name = `${url.username}_unbound_${randomBytes(4).toString('hex')}`
  url.username = name
  await admin.query(
    `create role ${name} login bypassrls in role tenantry_app password '${decodeURIComponent(url.password)}'`,
  )
  return url.href
}
