import { resolve } from 'node:path'
import type { Argv } from 'yargs'
import type { Session } from '../database/session.js'
import type { Project } from './config-file.js'
import type { Console } from './console.js'
import type { Report } from './report.js'
import { ownersPlace, type Place } from './sessions.js'

/** The options of every command. */
export interface GlobalOptions {
  readonly json: boolean
  readonly config: string | undefined
}

/** The surroundings of a command: this process, or a test. */
export interface Host {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  console(json: boolean): Console
  open(place: Place): Promise<Session>
  close(session: Session): Promise<void>
  /** Runs work that ends soon after its signal is aborted. An interruption aborts it, and waits for the work. */
  stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>
}

/** What a command receives. */
export interface Context extends Pick<Host, 'cwd' | 'env' | 'stoppable'> {
  readonly console: Console
  /** The library's tables, and the host's where a tenantry.config.ts names them. */
  project(): Promise<Project>
  readonly connected: <T>(place: Place, work: (session: Session) => Promise<T>) => Promise<T>
}

/**
 * Turns a command's function into a handler. Commands import their modules only when they run: without the tables and the driver,
 * help and completion start three times as fast.
 */
export type Run = <Args extends GlobalOptions>(
  work: (args: Args, context: Context) => Promise<Report>,
) => (args: Args) => Promise<void>

/** Adds a command. */
export type AddCommand = (program: Argv<GlobalOptions>, run: Run) => Argv<GlobalOptions>

export function contextOf(host: Host, { json, config }: GlobalOptions): Context {
  return {
    cwd: host.cwd,
    env: host.env,
    stoppable: (work) => host.stoppable(work),
    console: host.console(json),
    project: async () => (await import('./config-file.js')).loadProject(host.cwd, config),
    async connected(place, work) {
      const session = await host.open(place)
      try {
        return await work(session)
      } finally {
        await host.close(session)
      }
    },
  }
}

/** Connects as the owner of the tables to the database that the arguments or the environment name. */
export function asOwner<T>(
  { cwd, env, connected }: Context,
  { embedded }: { readonly embedded?: string | undefined },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return connected(ownersPlace(embedded === undefined ? undefined : resolve(cwd, embedded), env), work)
}

export const embeddedOption = {
  type: 'string',
  requiresArg: true,
  normalize: true,
  describe: 'Use the embedded database (PGlite) in this directory and ignore the environment',
} as const

/** The options of commands that connect as the owner. */
export const connecting = <Args extends GlobalOptions>(command: Argv<Args>) =>
  command.option('embedded', embeddedOption).epilogue(ownersEnvironment)

export const ownersEnvironment = [
  'Environment:',
  '  DATABASE_ADMIN_URL  the url of the role that owns the tables',
  '  DATABASE_URL        used when DATABASE_ADMIN_URL is not set',
].join('\n')

/** For the help of commands that write to the database. */
export const whenRefused =
  'Refused when the database has applied migrations that the nearest tenantry.config.ts does not name.'

/** The head of a command's help: its call, and a few sentences on what it does. */
export const usageOf = (command: string, ...sentences: readonly string[]) => `$0 ${command}\n\n${sentences.join(' ')}`
