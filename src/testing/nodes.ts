import { isCluster } from '../database/cluster.js'
import { openSession, type Session } from '../database/session.js'

/** The servers of the tests: one, or the coordinator of a Citus cluster and its workers. */
export interface Nodes {
  /** The server of the url: the coordinator. */
  readonly first: Session
  /** Makes the databases of a cluster one, after each node has its own. */
  join(databaseUrl: string): Promise<void>
  /** On each node, in the database of the url. */
  onEach(text: string, params?: readonly unknown[]): Promise<void>
  close(): Promise<void>
}

interface Worker {
  readonly host: string
  readonly port: number
}

/** As the same administrator on each node. */
export async function openNodes(serverUrl: string): Promise<Nodes> {
  const first = await openSession({ url: serverUrl })
  const workers: Session[] = []
  const close = async (): Promise<void> => {
    await Promise.all([first, ...workers].map((session) => session.close()))
  }
  try {
    const places = (await isCluster(first)) ? await first.query<Worker>(workersSql) : []
    for (const place of places) workers.push(await openSession({ url: urlOn(serverUrl, place) }))
    return {
      first,
      join: (databaseUrl) => (places.length === 0 ? Promise.resolve() : join(databaseUrl, places)),
      async onEach(text, params) {
        await Promise.all([first, ...workers].map((session) => session.query(text, params)))
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

const workersSql = `
select nodename as host, nodeport as port from pg_catalog.pg_dist_node where groupid <> 0 and isactive order by nodeid`

function urlOn(serverUrl: string, { host, port }: Worker): string {
  const url = new URL(serverUrl)
  url.hostname = host
  url.port = String(port)
  return url.href
}

async function join(databaseUrl: string, workers: readonly Worker[]): Promise<void> {
  for (const worker of workers) {
    const session = await openSession({ url: urlOn(databaseUrl, worker) })
    await session.query('create extension citus')
    await session.close()
  }
  const session = await openSession({ url: databaseUrl })
  const { hostname, port } = new URL(databaseUrl)
  await session.query('create extension citus')
  await session.query('select citus_set_coordinator_host($1, $2)', [hostname, Number(port || 5432)])
  for (const { host, port } of workers) await session.query('select citus_add_node($1, $2)', [host, port])
  await session.close()
}
