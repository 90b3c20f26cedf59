import { InvalidInputError } from './errors.js'
import type { Query } from './query.js'
import type { Scope } from './scope.js'
import type { Page } from './statements/pages.js'
import { ownProperties } from './values.js'

type ReadPage<Row> = (options: object) => Query<Page<Row>>

/** Every row of a list, one page after the other. The scope knows of each page that is under way. */
export function pageByPage<Row>(
  scope: Scope,
  read: ReadPage<Row>,
  options: object | undefined,
): AsyncGenerator<Row, void, undefined> {
  const rows = rowsOf(read, options)
  const next = rows.next.bind(rows)
  return Object.assign(rows, { next: () => scope.track(next()) })
}

async function* rowsOf<Row>(read: ReadPage<Row>, options: object | undefined): AsyncGenerator<Row, void, undefined> {
  const { limit = 500, total, ...given } = ownProperties(options ?? {}, 'options')
  if (total !== undefined) throw new InvalidInputError('total', 'is not an option of stream; use count')
  let after: string | undefined
  do {
    const { items, next } = await read({ ...given, limit, after })
    yield* items
    after = next
  } while (after !== undefined)
}
