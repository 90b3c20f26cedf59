import { afterAll, beforeAll, inject } from 'vitest'
import type { TestProject } from 'vitest/node'
import { UnavailableError } from '../core/errors.js'
import { startTestServer, type TestServerOptions } from './server.js'
import { createTestDatabase, type TestDatabase, type TestTemplate } from './template.js'

declare module 'vitest' {
  export interface ProvidedContext {
    tenantry: TestTemplate | undefined
  }
}

/**
 * The server of a vitest run, for a file that `globalSetup` names:
 *
 *     export default databaseSetup({ migrate })
 */
export function databaseSetup(options: TestServerOptions): (project: TestProject) => Promise<() => Promise<void>> {
  return async (project) => {
    const server = await startTestServer(options)
    project.provide('tenantry', server.template)
    return () => server.stop()
  }
}

/** The database of one test file. It is closed after the last test. */
export interface TestFileDatabase extends Omit<TestDatabase, 'close'> {}

/** Creates a database for the calling test file, before its first test. Read the members of the result in tests and hooks only. */
export function useDatabase(): TestFileDatabase {
  let made: TestDatabase | undefined
  beforeAll(async () => {
    const template = inject('tenantry')
    if (template === undefined) {
      throw new UnavailableError(
        'no test server was started: set globalSetup in vitest.config to a file that exports databaseSetup()',
      )
    }
    made = await createTestDatabase(template)
  })
  afterAll(() => made?.close())
  const database = (): TestDatabase => {
    if (made === undefined) {
      throw new UnavailableError(
        'the database does not exist yet: it is created before the first test of the file, so read it in tests and hooks only',
      )
    }
    return made
  }
  return {
    get appUrl() {
      return database().appUrl
    },
    get systemUrl() {
      return database().systemUrl
    },
    get adminUrl() {
      return database().adminUrl
    },
    get admin() {
      return database().admin
    },
  }
}
