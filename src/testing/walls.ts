import { randomBytes } from 'node:crypto'
import type { Executor, Statement } from '../core/executor.js'
import { newId, nilId } from '../core/ids.js'
import { isCluster } from '../database/cluster.js'
import { openNodePostgres } from '../database/node-postgres.js'
import { declare, type OwnTables } from '../declared.js'
import { passingKeyring } from '../encryption/keyring.js'
import { secretsOf } from '../encryption/secrets.js'
import type { Session } from '../database/session.js'
import { Tenancy } from '../tenancy.js'
import { insertDataKey } from './data-keys.js'
import { insertOrganization } from './fixtures.js'

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
  /** An organization with such a key. On a Citus cluster, that of all of them is one shard where the predicates are left out. */
  readonly newOrganization: () => Promise<string>
}

/** A tenancy that counts its round trips, and may lack one wall. Only tests can open it. */
export async function openWithout(options: WallOptions): Promise<OpenedWithout> {
  const declared = await declare(options.own)
  const url = options.without === 'row security' ? await unboundLogin(options) : options.appUrl
  const executor = openNodePostgres({
    pool: { connectionString: url, max: 4 },
    lookup: declared.lookup,
    onEveryNode: declared.onEveryNode,
  })
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
  const neighbours: string[] = []
  const rewrite: <T extends { statement: Statement }>(call: T) => T =
    options.without === 'predicates' ? (call) => withoutPredicate(call, neighbours) : (call) => call
  const { allPermissions } = declared
  const secrets = secretsOf(passingKeyring())
  const tenancy = new Tenancy(counting, secrets, { allPermissions })
  const addKey = (orgId: string) => insertDataKey(options.admin, secrets.dataKeys, orgId)
  const isSharded = options.without === 'predicates' && (await isCluster(options.admin))
  return {
    tenancy,
    count: () => queries,
    addKey,
    async newOrganization() {
      const id = isSharded ? await createNeighbour(options.admin) : await insertOrganization(options.admin)
      if (isSharded) neighbours.push(id)
      await addKey(id)
      return id
    },
  }
}

/** How many of the last organizations are in the predicate of a cluster: a case of the contract needs no more at once. */
const recent = 8

/**
 * The same statement, in which `$1`, the organization or the person, is compared with nothing. A Citus cluster takes most statements for one
 * shard only, so there the rows are those of any of the neighbours, who share one.
 */
function withoutPredicate<T extends { statement: Statement }>(call: T, neighbours: readonly string[]): T {
  const ids = neighbours.slice(-recent).map((id) => `'${id}'`)
  const text = call.statement.text.replaceAll(/((?:\w+\.)?"?(?:org_id|user_id|id)"?) = \$1\b/g, (_, column: string) =>
    ids.length === 0 ? '$1::uuid is not null' : `(${column} in (${ids.join()}) and $1::uuid is not null)`,
  )
  return { ...call, statement: { ...call.statement, name: '', text } }
}

/** An organization in the shard of a certain id. */
async function createNeighbour(admin: Session): Promise<string> {
  const shard = (place: string) => `pg_catalog.get_shard_id_for_distribution_column('platform.agents', ${place})`
  for (;;) {
    const id = newId()
    const [row] = await admin.query<{ here: boolean }>(
      `select ${shard('$1::uuid')} = ${shard(`'${nilId}'::uuid`)} as here`,
      [id],
    )
    if (row?.here === true) return insertOrganization(admin, { id })
  }
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
