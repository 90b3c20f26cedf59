import { statement } from './statement.js'
import { planned } from './planned.js'
import type { Query } from './query.js'
import type { Scope } from './scope.js'

const clock = statement('select statement_timestamp()', 'read')

/** The time by the database's clock, which all workers share. */
export const databaseTime = (scope: Scope): Query<Date> =>
  scope.query(() => planned({ statement: clock, values: [] }, ({ rows }) => new Date(rows[0]?.[0] as string)))
