import type { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import { openPGlite } from './pglite.js'

/** One open connection for administration: migrations, bootstrap, proofs, checks. Requests of the application never use it. */
export interface Session {
  readonly engine: 'postgres' | 'pglite'
  /** Runs one statement. Always the extended protocol, so that a text can never hold several. */
  query<Row = Record<string, unknown>>(text: string, params?: readonly unknown[]): Promise<Row[]>
  close(): Promise<void>
}

/** Where a session goes: a server, or the embedded database in a directory (`true` is one in memory). */
export type SessionTarget = { readonly url: string } | { readonly embedded: string | true }

export async function openSession(target: SessionTarget): Promise<Session> {
  return 'url' in target ? openServer(target.url) : openEmbedded(target.embedded)
}

async function openServer(url: string): Promise<Session> {
  const client = new pg.Client({ connectionString: url, application_name: 'tenantry' })
  // A backend that is ended raises 'error' on the client; without a listener the process would die. The next query reports it.
  client.on('error', () => undefined)
  await client.connect()
  return printingPlainNames({
    engine: 'postgres',
    async query<Row>(text: string, params: readonly unknown[] = []) {
      const values = [...params]
      // With a name of its own, so that none is inherited.
      const query: pg.QueryConfig & { queryMode: 'extended' } = { name: '', text, values, queryMode: 'extended' }
      return (await client.query(query)).rows as Row[]
    },
    close: () => client.end(),
  })
}

async function openEmbedded(directory: string | true): Promise<Session> {
  return printingPlainNames(sessionOf(await openPGlite(directory)))
}

/** Names and definitions that the server prints are compared with declared ones, so it must not quote more than it has to. */
async function printingPlainNames(session: Session): Promise<Session> {
  try {
    await session.query('set quote_all_identifiers = off')
    return session
  } catch (error) {
    await session.close().catch(() => undefined)
    throw error
  }
}

/** The embedded database as its owner, until it begins to serve. */
export const sessionOf = (database: PGlite): Session => ({
  engine: 'pglite',
  async query<Row>(text: string, params: readonly unknown[] = []) {
    return (await database.query<Row>(text, [...params])).rows
  },
  close: () => database.close(),
})
