import { databaseSetup } from '../../src/testing/vitest.js'
import { migrate } from './migrate.js'

export default databaseSetup({ migrate })
