import { uuid } from 'drizzle-orm/pg-core'
import { platform } from './columns.js'

// Only the keys of the two tables that everything refers to, so that the tables themselves can be made with these very files.
export const organizations = platform.table('organizations', { id: uuid('id').primaryKey() })
export const users = platform.table('users', { id: uuid('id').primaryKey() })
