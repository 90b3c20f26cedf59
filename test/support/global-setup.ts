import type { TestProject } from 'vitest/node'
import { migratePlatform } from '../../scripts/migrate-platform.js'
import { databaseSetup } from '../../src/testing/vitest.js'
import { compileForProcesses } from './compiled.js'

const startDatabase = databaseSetup({ migrate: migratePlatform })

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { folder, remove } = await compileForProcesses()
  project.provide('compiled', folder)
  const stopDatabase = await startDatabase(project)
  return async () => {
    await stopDatabase()
    await remove()
  }
}
