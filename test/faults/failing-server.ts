import { setImmediate } from 'node:timers/promises'
import { openSession, type Session } from '../../src/database/session.js'
import { type EmbeddedServer, startEmbeddedServer } from '../../src/testing/embedded-server.js'
import { migratePlatform } from '../../scripts/migrate-platform.js'

/** A server of the test's own: what happens to it happens to no other test. */
export interface FailingServer extends Omit<EmbeddedServer, 'url'> {
  readonly appUrl: string
  readonly adminUrl: string
  /** Kills a backend with SIGKILL, upon which the server ends every other one, recovers from its log, and serves again. */
  readonly crash: () => Promise<void>
}

export async function startFailingServer(): Promise<FailingServer> {
  const { url, ...server } = await startEmbeddedServer()
  await migratePlatform(url)
  const session = await openSession({ url })
  await session.query("create role failing_app login in role tenantry_app password 'failing'")
  // Test servers answer before their log is written, and a crash would take back what they have acknowledged.
  await session.query('alter database postgres set synchronous_commit = on')
  await session.close()
  const appUrl = new URL(url)
  appUrl.username = 'failing_app'
  appUrl.password = 'failing'
  return {
    ...server,
    appUrl: appUrl.href,
    adminUrl: url,
    async crash() {
      const victim = await openSession({ url })
      const [backend] = await victim.query<{ pid: number }>('select pg_backend_pid() as pid')
      if (backend !== undefined) process.kill(backend.pid, 'SIGKILL')
      await isGone(victim)
      await (await whenServing(url)).close()
    },
  }
}

async function isGone(session: Session): Promise<void> {
  for (;;) {
    try {
      await session.query('select 1')
    } catch {
      return
    }
  }
}

async function whenServing(url: string): Promise<Session> {
  for (;;) {
    try {
      return await openSession({ url })
    } catch {
      await setImmediate()
    }
  }
}
