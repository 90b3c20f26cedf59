import { spawn, type SpawnOptions } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished } from 'vitest'
import { openConsole } from '../../src/cli/console.js'
import { runProgram } from '../../src/cli/program.js'
import { Sessions } from '../../src/cli/sessions.js'
import type { Session } from '../../src/database/session.js'
import { compiled } from '../support/compiled.js'

export const root = join(import.meta.dirname, '..', '..')
/** A host with a table of its own. */
export const example = join(root, 'examples', 'your-own-tables')

/** A copy of it in a folder that is removed after the test. */
export function copyOfExample(): string {
  const project = mkdtempSync(join(tmpdir(), 'tenantry-project-'))
  onTestFinished(() => {
    rmSync(project, { recursive: true })
  })
  cpSync(example, project, { recursive: true, filter: (path) => !path.endsWith('node_modules') })
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'))
  return project
}

/** A text in a larger one, where an object is matched. */
export const containing = (text: string) => expect.stringContaining(text) as string

export interface Around {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  /** Instead of a connection to what the environment names: one that is in a transaction, and stays open. */
  readonly session?: Session
}

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** What `--json` gave: fails when stdout holds anything beside it. */
  readonly json: () => unknown
}

/** One command line in this process: everything but the streams and the environment is the program's own. */
export async function tenantry(
  args: readonly string[],
  { cwd = tmpdir(), env = {}, stdin = '', session }: Around = {},
): Promise<Ran> {
  const sessions = new Sessions()
  const streams = { stdin: Readable.from([stdin]), stdout: new PassThrough(), stderr: new PassThrough() }
  const said = Promise.all([text(streams.stdout), text(streams.stderr)])
  const code = await runProgram(args, {
    cwd,
    env,
    console: (json) => openConsole(streams, json),
    open: (place) => (session === undefined ? sessions.open(place) : Promise.resolve(session)),
    close: (opened) => (opened === session ? Promise.resolve() : sessions.close(opened)),
    stoppable: (work) => sessions.stoppable(work),
  })
  streams.stdout.end()
  streams.stderr.end()
  const [stdout, stderr] = await said
  return ran(code, stdout, stderr)
}

/** The bin itself, in a process of its own. */
export async function spawned(
  args: readonly string[],
  { cwd = tmpdir(), env = {}, stdin = '' }: Around = {},
): Promise<Ran> {
  const child = start(args, { cwd, env: { PATH: process.env.PATH, ...env } })
  child.stdin.end(stdin)
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once('close', resolve)),
  ])
  return ran(code, stdout, stderr)
}

export const start = (args: readonly string[], options: SpawnOptions) =>
  spawn(process.execPath, [...bin(), ...args], { ...options, stdio: 'pipe' })

export const bin = () => [compiled('src/cli/main.js')]

const ran = (code: number | null, stdout: string, stderr: string): Ran => ({
  code,
  stdout,
  stderr,
  json: () => JSON.parse(stdout) as unknown,
})
