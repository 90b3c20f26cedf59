import type { TestProject } from 'vitest/node'
import { isCluster } from '../../src/database/cluster.js'
import { openSession } from '../../src/database/session.js'
import { migratePlatform } from '../../scripts/migrate-platform.js'
import type { TestTemplate } from '../../src/testing/template.js'
import { databaseSetup } from '../../src/testing/vitest.js'
import { compileForProcesses } from './compiled.js'

declare module 'vitest' {
  export interface ProvidedContext {
    onCluster: boolean
  }
}

const startDatabase = databaseSetup({ migrate: migratePlatform })

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { folder, remove } = await compileForProcesses()
  project.provide('compiled', folder)
  const stopDatabase = await startDatabase(project)
  project.provide('onCluster', await refuseManyShards(project.getProvidedContext().tenantry))
  return async () => {
    await stopDatabase()
    await remove()
  }
}

/**
 * Whether the server of the tests is the coordinator of a cluster: only TEST_DATABASE_URL can name one. There a statement of the
 * application that asks more than one shard is refused.
 */
async function refuseManyShards(template: TestTemplate | undefined): Promise<boolean> {
  if (template === undefined || process.env.TEST_DATABASE_URL !== template.serverUrl) return false
  const session = await openSession({ url: template.serverUrl })
  try {
    if (!(await isCluster(session))) return false
    await session.query(`alter role ${template.prefix}_app set citus.multi_task_query_log_level = 'error'`)
    return true
  } finally {
    await session.close()
  }
}
