import { migratePlatform } from '../../scripts/migrate-platform.js'
import { databaseSetup } from '../../src/testing/vitest.js'

export default databaseSetup({ migrate: migratePlatform })
