import { afterAll, beforeAll } from 'vitest'
import { openSession, type Session } from '../../src/database/session.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { platformTables } from '../../src/schema/tables.js'
import {
  createTestDatabase,
  prepareTemplate,
  type TestDatabase,
  type TestTemplate,
} from '../../src/testing/template.js'

/** The url of an administrator on the coordinator of a Citus cluster: in a database with the extension, which knows its workers. */
export const clusterUrl = process.env.TEST_CITUS_URL

/** For the name of a test that cannot run without it. */
export const whyWithoutCluster = clusterUrl === undefined ? ' (skipped: TEST_CITUS_URL is not set)' : ''

/** Databases on the cluster that are migrated, and not distributed. */
export function useCluster(): {
  newDatabase: () => Promise<TestDatabase>
  /** One more session, of the owner. */
  session: (database: Pick<TestDatabase, 'adminUrl'>) => Promise<Session>
} {
  const made: TestDatabase[] = []
  const sessions: Session[] = []
  let template: TestTemplate | undefined
  let end: (() => Promise<void>) | undefined
  beforeAll(async () => {
    if (clusterUrl === undefined) return
    const prepared = await prepareTemplate(clusterUrl, async (url) => {
      const session = await openSession({ url })
      await upgrade(session, { sets: [platformMigrations], tables: platformTables }, { exclusiveDatabase: true })
      await session.close()
    })
    template = prepared.template
    end = prepared.end
  })
  afterAll(async () => {
    await Promise.all(sessions.map((session) => session.close()))
    await Promise.all(made.map((database) => database.close()))
    await end?.()
  })
  return {
    async newDatabase() {
      if (template === undefined) throw new Error('there is no cluster: skip this test where clusterUrl is undefined')
      const database = await createTestDatabase(template)
      made.push(database)
      return database
    },
    async session({ adminUrl }) {
      const session = await openSession({ url: adminUrl })
      sessions.push(session)
      return session
    },
  }
}
