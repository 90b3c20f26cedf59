import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { promisify } from 'node:util'
import { UnavailableError } from '../core/errors.js'

const run = promisify(execFile)

/** The account that a server runs as; `undefined` is the account of this process. */
export type Account = { readonly uid: number; readonly gid: number } | undefined

export interface ServerProgram {
  readonly name: string
  readonly command: readonly string[]
  readonly account: Account
  /** The line in its log when it accepts connections. */
  readonly ready: string
  readonly stopSignal: 'QUIT' | 'TERM'
  /** Called with each piece of its log. */
  readonly onLog?: ((text: string) => void) | undefined
}

/** Database servers refuse to run as root, so root runs them as an account that every system has. */
export async function serverAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])])
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
    } catch {
      continue
    }
  }
  throw new UnavailableError(
    'a database server does not run as root, and neither of the accounts postgres and nobody exists',
  )
}

/** Only the search path of the caller's environment: its locale and time zone would become the server's. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

// The shell reads a pipe that this process holds open. When this process ends, even by kill -9, the pipe closes, and the shell
// stops the server. The shell's own stderr is closed, so that the end of stderr is the end of the server.
const stopWithUs = (signal: string): string =>
  `"$@" & exec 2>/dev/null; read -r signal; kill -"\${signal:-${signal}}" $!; wait $!`

/**
 * Starts the server in a session of its own, out of the reach of Ctrl-C, and waits until it accepts connections. Returns a function
 * that stops it, with its own signal or with another one.
 */
export async function launch(program: ServerProgram): Promise<(signal?: 'INT') => Promise<void>> {
  const { name, command, account, ready, stopSignal } = program
  const shell = spawn('/bin/sh', ['-c', stopWithUs(stopSignal), 'sh', ...command], {
    cwd: '/',
    env: serverEnvironment(),
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
      program.onLog?.(text)
      log = (log + text).slice(-2000)
      if (log.includes(ready)) resolve()
    })
    shell.stderr.once('end', () => {
      // The server has exited, and its pid may be reused: the shell must not stay to send its signal.
      shell.stdin.end()
      reject(new UnavailableError(`${name} did not start: ${log.trim()}`))
    })
  })
  return (signal) => {
    shell.stdin.end(signal === undefined ? '' : `${signal}\n`)
    return ended
  }
}
