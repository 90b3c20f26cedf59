import pg from 'pg'
import type { TestFileDatabase } from '../../src/testing/vitest.js'
import type { Rows } from '../support/every-table.js'

/** The application's login with nothing bound, with an organization, or with a person; the system's login; or the owner. */
export type Actor = 'unbound' | 'org' | 'person' | 'system' | 'owner'

export interface Statement {
  readonly text: string
  readonly values?: readonly unknown[]
}

/** What the last of some statements gave or failed with. */
export interface Outcome {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly rowCount: number
  readonly code?: string | undefined
  readonly error?: string
  readonly constraint?: string | undefined
}

/** Tries statements one after the other, each even if the one before failed, and takes back what they did. */
export type Attempt = (actor: Actor, ...statements: Statement[]) => Promise<Outcome>

export const orgOf = (rows: Rows) => rows.get('organizations')?.id as string
export const personOf = (rows: Rows) => rows.get('users')?.id as string

/** Over connections of the logins, as an application has them. Each is made when it is first used. */
export function connectionsOf(database: TestFileDatabase, ours: Rows) {
  const clients = new Map<string, pg.Client>()
  const connect = async (actor: Actor): Promise<pg.Client> => {
    const { adminUrl, systemUrl, appUrl } = database
    const connectionString = actor === 'owner' ? adminUrl : actor === 'system' ? systemUrl : appUrl
    const client = clients.get(connectionString) ?? new pg.Client({ connectionString })
    if (!clients.has(connectionString)) await client.connect()
    clients.set(connectionString, client)
    return client
  }
  const attempt: Attempt = async (actor, ...statements) => {
    const client = await connect(actor)
    await client.query(['begin', ...entering(actor, ours)].join('; '))
    const outcome = await tryAll(client, statements)
    await client.query('rollback')
    return outcome
  }
  return { attempt, end: () => Promise.all([...clients.values()].map((client) => client.end())) }
}

/** Inside of the owner's open transaction, so that what is planted there is seen, and goes with it. */
export function withinTransaction(client: pg.Client, database: TestFileDatabase, ours: Rows): Attempt {
  const loginOf = (actor: Actor) => new URL(actor === 'system' ? database.systemUrl : database.appUrl).username
  return async (actor, ...statements) => {
    const become = actor === 'owner' ? [] : [`set local session authorization ${loginOf(actor)}`]
    await client.query('savepoint attempt')
    try {
      await client.query([...become, ...entering(actor, ours)].join('; '))
      return await tryAll(client, statements)
    } catch (error) {
      return failureOf(error)
    } finally {
      await client.query('rollback to savepoint attempt; release savepoint attempt')
    }
  }
}

function entering(actor: Actor, ours: Rows): string[] {
  if (actor === 'org') return [`select platform.enter_org('${orgOf(ours)}')`]
  return actor === 'person' ? [`select platform.enter_user('${personOf(ours)}')`] : []
}

async function tryAll(client: pg.Client, statements: readonly Statement[]): Promise<Outcome> {
  let outcome: Outcome = { rows: [], rowCount: 0 }
  for (const { text, values = [] } of statements) {
    await client.query('savepoint statement')
    try {
      const { rows, rowCount } = await client.query<Record<string, unknown>>(text, [...values])
      outcome = { rows, rowCount: rowCount ?? 0 }
    } catch (error) {
      outcome = failureOf(error)
      await client.query('rollback to savepoint statement')
    }
  }
  return outcome
}

const failureOf = (error: unknown): Outcome => {
  const { message, code, constraint } = error as pg.DatabaseError
  return { rows: [], rowCount: 0, error: message, code, constraint }
}
