import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createOrganization } from '../src/testing/fixtures.js'
import { migratePlatform } from '../scripts/migrate-platform.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase, type TestDatabase } from '../src/testing/template.js'

export interface BenchDatabase {
  readonly database: TestDatabase
  /** A login with the same policies, and with the right to call set_config, which binds an organization without this library. */
  readonly bindingUrl: string
  /** The measured organization; the others have rows in the same tables. */
  readonly orgId: string
  readonly taskIds: readonly string[]
  /** One task of each organization. */
  readonly everywhere: readonly { readonly orgId: string; readonly taskId: string }[]
  stop(): Promise<void>
}

const organizations = 20

/** A server and a database with the tasks of twenty organizations. */
export async function openBenchDatabase(tasksEach: number): Promise<BenchDatabase> {
  const server = await startTestServer({ migrate: migratePlatform })
  const database = await createTestDatabase(server.template)
  const { admin } = database
  const ids: string[] = []
  for (let made = 0; made < organizations; made++) ids.push(await createOrganization(admin))
  await admin.query(
    `insert into platform.tasks (org_id, id, kind, input, priority, created_at)
     select o, gen_random_uuid(), 'mail', '{"to":"someone","tries":3}', n % 5, now() - n * interval '1 minute'
     from unnest($1::uuid[]) o, generate_series(1, $2) n`,
    [ids, tasksEach],
  )
  await admin.query('vacuum analyze platform.tasks')
  const orgId = ids[0] ?? ''
  const tasks = await admin.query<{ id: string }>('select id from platform.tasks where org_id = $1', [orgId])
  const everywhere = await admin.query<{ orgId: string; taskId: string }>(
    'select distinct on (org_id) org_id as "orgId", id as "taskId" from platform.tasks order by org_id',
  )
  return {
    database,
    everywhere,
    bindingUrl: await createBindingLogin(database),
    orgId,
    taskIds: tasks.map(({ id }) => id),
    async stop() {
      await database.close()
      await server.stop()
    },
  }
}

/** `bootstrap` revokes the right to call set_config. */
async function createBindingLogin({ admin, appUrl }: TestDatabase): Promise<string> {
  const url = new URL(appUrl)
  // With the prefix of this run's logins, so that the next run drops it too.
  const name = url.username.replace(/_app$/, '_binding')
  await admin.query(`create role ${name} login password '${url.password}' in role tenantry_app`)
  await admin.query(`grant execute on function pg_catalog.set_config(text, text, boolean) to ${name}`)
  url.username = name
  return url.href
}

/** The same database behind a network with a round trip of `milliseconds`. */
export async function behindDelay(
  url: string,
  milliseconds: number,
): Promise<{ readonly through: (url: string) => string; stop(): void }> {
  const { hostname, port } = new URL(url)
  const proxy = fork(fileURLToPath(new URL('delay-proxy.ts', import.meta.url)), [hostname, port, String(milliseconds)])
  const [delayed] = (await once(proxy, 'message')) as [number]
  return {
    through(original) {
      const changed = new URL(original)
      changed.hostname = '127.0.0.1'
      changed.port = String(delayed)
      return changed.href
    },
    stop: () => {
      proxy.disconnect()
    },
  }
}
