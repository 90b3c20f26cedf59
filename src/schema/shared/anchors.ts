import { uuid } from 'drizzle-orm/pg-core'
import { platform } from './columns.js'

// Only the keys of the two tables that all others refer to, so that those two tables can use these helpers as well.
export const organizations = platform.table('organizations', { id: uuid('id').primaryKey() })
export const users = platform.table('users', { id: uuid('id').primaryKey() })
