import { accessSync, constants } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { freePort, launch, serverAccount } from '../../src/testing/server-process.js'

/** A PgBouncer in transaction mode with two server connections, which ends with this process at the latest. */
export interface PgBouncer {
  /** The url of the server, through the pooler. */
  readonly url: string
  stop(): Promise<void>
}

/** Where the program is: in PATH, or where distributions put what only root runs. */
export const pgBouncer = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
  .map((directory) => join(directory, 'pgbouncer'))
  .find(isExecutable)

/** For the name of a test that cannot run without it. */
export const whyWithoutPgBouncer = pgBouncer === undefined ? ' (skipped: there is no pgbouncer in PATH)' : ''

export interface PgBouncerOptions {
  /** Takes the settings of a client's start for its own affair instead of refusing it. */
  readonly ignoresStartup?: boolean
}

export async function startPgBouncer(serverUrl: string, options: PgBouncerOptions = {}): Promise<PgBouncer> {
  if (pgBouncer === undefined) throw new Error('there is no pgbouncer in PATH')
  // Not TMPDIR, which may lie in root's home.
  const directory = await mkdtemp('/tmp/tenantry-pgbouncer-')
  const config = join(directory, 'pgbouncer.ini')
  const users = join(directory, 'users.txt')
  const { username, password } = new URL(serverUrl)
  const port = await freePort()
  await writeFile(config, settings(new URL(serverUrl), port, users, options))
  await writeFile(users, `"${username}" "${password}"\n`)
  await chmod(directory, 0o755)

  const stop = await launch({
    name: 'pgbouncer',
    command: [pgBouncer, config],
    account: await serverAccount(),
    ready: 'process up',
    stopSignal: 'TERM',
  })
  const url = new URL(serverUrl)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  return {
    url: url.href,
    async stop() {
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function settings(server: URL, port: number, users: string, { ignoresStartup = false }: PgBouncerOptions): string {
  return `[databases]
* = host=${server.hostname} port=${server.port || '5432'}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = 2
auth_type = scram-sha-256
auth_file = ${users}
${ignoresStartup ? 'ignore_startup_parameters = options, statement_timeout, lock_timeout, idle_in_transaction_session_timeout' : ''}
`
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
