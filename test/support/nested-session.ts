import type { Session } from '../../src/database/session.js'

/** A session inside an open transaction: its transactions become savepoints, and a statement that fails leaves no trace. */
function nested(session: Session): Session {
  const within: Record<string, string> = {
    begin: 'savepoint nested',
    commit: 'release savepoint nested',
    rollback: 'rollback to savepoint nested',
  }
  return {
    ...session,
    async query<Row>(text: string, params?: readonly unknown[]) {
      const control = within[text] ?? (text.includes('savepoint ') ? text : undefined)
      if (control !== undefined) return session.query<Row>(control)
      await session.query('savepoint statement')
      try {
        const rows = await session.query<Row>(text, params)
        await session.query('release savepoint statement')
        return rows
      } catch (error) {
        await session.query('rollback to savepoint statement')
        throw error
      }
    },
  }
}

/** Runs `work` and takes all of it back: roles are the whole server's, and other tests are at work on it. */
export async function undone<T>(session: Session, work: (session: Session) => Promise<T>): Promise<T> {
  await session.query('begin')
  try {
    return await work(nested(session))
  } finally {
    await session.query('rollback')
  }
}
