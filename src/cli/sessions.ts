import { InvalidInputError, UnavailableError } from '../core/errors.js'
import { assertUrl } from '../database/pool-config.js'
import type { Session } from '../database/session.js'

/** A database to connect to, and the variable or option that named it. */
export type Place = { readonly url: string; readonly from: string } | { readonly embedded: string }

type Environment = Readonly<Record<string, string | undefined>>

/** The database of the owner of the tables. */
export function ownersPlace(embedded: string | undefined, env: Environment): Place {
  if (embedded !== undefined) return { embedded }
  const from = ['DATABASE_ADMIN_URL', 'DATABASE_URL'].find((name) => isSet(env[name]))
  if (from === undefined) {
    throw new InvalidInputError(
      'DATABASE_ADMIN_URL',
      'is not set: give it the url of the role that owns the tables, or name a directory with --embedded',
    )
  }
  return placeOf(env[from] ?? '', from)
}

/** The database of a login of the application. */
export function loginsPlace(given: string | undefined, variable: string, env: Environment): Place {
  if (given !== undefined) return placeOf(given, '--url')
  const url = env[variable]
  if (!isSet(url)) throw new InvalidInputError(variable, 'is not set: give it the url of the login, or use --url')
  return placeOf(url, variable)
}

const isSet = (value: string | undefined): value is string => value !== undefined && value.trim() !== ''

function placeOf(url: string, from: string): Place {
  assertUrl(from, url)
  if (!URL.canParse(url)) {
    throw new InvalidInputError(from, 'must look like postgres://user:password@host:5432/database')
  }
  return { url, from }
}

/** The sessions of one run of the program. An interruption cancels what the server still runs for them. */
export class Sessions {
  private readonly backends = new Map<Session, { url: string; pid: number }>()
  private readonly interruption = new AbortController()
  private readonly stopping = new Set<Promise<unknown>>()

  async open(place: Place): Promise<Session> {
    const session = await this.connect(place)
    if (!('url' in place)) return session
    const [backend] = await session.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid')
    if (backend !== undefined) this.backends.set(session, { url: place.url, pid: backend.pid })
    return session
  }

  async close(session: Session): Promise<void> {
    this.backends.delete(session)
    await session.close()
  }

  async stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const running = work(this.interruption.signal)
    this.stopping.add(running)
    try {
      return await running
    } finally {
      this.stopping.delete(running)
    }
  }

  /**
   * Without this a running statement would continue, with its locks, until it is done: the server notices only then that the client
   * is gone.
   */
  async interrupt(): Promise<void> {
    this.interruption.abort()
    const { openSession } = await import('../database/session.js')
    const ending = [...this.backends.values()].map(async ({ url, pid }) => {
      const session = await openSession({ url })
      // The cast chooses between two functions of that name on a Citus cluster.
      await session.query('select pg_catalog.pg_terminate_backend($1::int)', [pid])
      await session.close()
    })
    await Promise.allSettled([...ending, ...this.stopping])
  }

  private async connect(place: Place): Promise<Session> {
    const { openSession } = await import('../database/session.js')
    try {
      return await openSession(place)
    } catch (error) {
      throw new UnavailableError(`cannot connect to ${describe(place)}: ${reasonOf(error)}`)
    }
  }
}

/** Leaves out the password and the query string, which may contain secrets. */
function describe(place: Place): string {
  if ('embedded' in place) return `the embedded database in ${place.embedded}`
  const { username, hostname, port, pathname } = new URL(place.url)
  return `database ${pathname.slice(1)} on ${hostname}:${port || '5432'} as ${username} (${place.from})`
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}
