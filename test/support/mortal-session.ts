import { onTestFinished } from 'vitest'
import { openSession, type Session } from '../../src/database/session.js'
import type { TestFileDatabase } from '../../src/testing/vitest.js'

/** A session whose backend is killed right after a statement that `isEnd` says, before the program hears of its success. */
export async function mortal(
  database: Pick<TestFileDatabase, 'adminUrl' | 'admin'>,
  isEnd: (text: string) => boolean,
): Promise<{ session: Session; died: () => boolean }> {
  const inner = await openSession({ url: database.adminUrl })
  const [backend] = await inner.query<{ pid: number }>('select pg_backend_pid() as pid')
  let dead = false
  const session: Session = {
    engine: inner.engine,
    async query<Row>(text: string, params?: readonly unknown[]) {
      const rows = await inner.query<Row>(text, params)
      if (dead || !isEnd(text)) return rows
      dead = true
      await database.admin.query('select pg_terminate_backend($1)', [backend?.pid])
      throw Object.assign(new Error('terminating connection'), { code: '57P01' })
    },
    close: () => inner.close().catch(() => undefined),
  }
  return { session, died: () => dead }
}

/** A session that says each statement before it runs it. */
export async function watched(
  url: string,
  before: (text: string, params?: readonly unknown[]) => unknown,
): Promise<Session> {
  const inner = await openSession({ url })
  onTestFinished(() => inner.close())
  return {
    engine: inner.engine,
    async query<Row>(text: string, params?: readonly unknown[]) {
      await before(text, params)
      return inner.query<Row>(text, params)
    },
    close: () => inner.close(),
  }
}
