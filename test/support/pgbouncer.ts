import { execFileSync, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { delimiter, join } from 'node:path'

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

  const stop = await launch([pgBouncer, config])
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

// The shell reads a pipe that this process holds open, and ends the pooler when it closes. Its own stderr is closed, so that
// the end of stderr is the end of the pooler.
const stopWithUs = '"$@" & exec 2>/dev/null; cat; kill $!; wait $!'

/** Starts the pooler and waits until it takes connections. Gives what ends it. */
async function launch(command: readonly string[]): Promise<() => Promise<void>> {
  const shell = spawn('/bin/sh', ['-c', stopWithUs, 'sh', ...command], {
    cwd: '/',
    stdio: ['pipe', 'ignore', 'pipe'],
    ...account(),
  })
  const ended = once(shell, 'close')
  shell.stdin.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => {
    let log = ''
    shell.once('error', reject)
    shell.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-2000)
      if (log.includes('process up')) resolve()
    })
    shell.stderr.once('end', () => {
      shell.stdin.end()
      reject(new Error(`pgbouncer did not start: ${log.trim()}`))
    })
  })
  return async () => {
    shell.stdin.end()
    await ended
  }
}

/** PgBouncer does not run as root, who lends it an account that every system has. */
function account(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
