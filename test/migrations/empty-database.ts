import { openSession, type Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { afterAll } from 'vitest'

export interface EmptyDatabase {
  readonly url: string
  readonly session: Session
  /** A further connection, closed when the file's tests are over. */
  readonly connect: () => Promise<Session>
}

/** Databases that no migration has touched, on the server of the run and dropped with its others. */
export function useEmptyDatabases(): () => Promise<EmptyDatabase> {
  const database = useDatabase()
  const sessions: Session[] = []
  afterAll(() => Promise.all(sessions.map((session) => session.close().catch(() => undefined))))
  let count = 0
  return async () => {
    const url = new URL(database.adminUrl)
    const name = `${url.pathname.slice(1)}x${(count += 1)}`
    await database.admin.query(`create database ${name} template template0 encoding 'UTF8'`)
    url.pathname = `/${name}`
    const connect = async () => {
      const session = await openSession({ url: url.href })
      sessions.push(session)
      return session
    }
    return { url: url.href, session: await connect(), connect }
  }
}
