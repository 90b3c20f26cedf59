import type { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Org } from '../../src/org.js'

/**
 * Lists with each option that changes the statement: several orders with NULLs, a page behind a cursor, some fields, a search in text, and
 * the total. Throws when the total is not the number of the rows, and when there are rows and no second page.
 */
export async function listEveryWay(
  all: ScopedRepository<object>,
  orderBy: readonly string[],
  filter: object = {},
): Promise<unknown[]> {
  const options = { ...filter, orderBy } as object
  const first = await all.list({ ...options, limit: 1 })
  if (first.items.length > 0 && first.next === undefined) throw new Error('no row lies behind the cursor')
  const behind = await all.list({ ...options, after: first.next })
  const parts = await all.list({ ...options, select: ['orgId', 'id'] as never })
  const counted = await all.list({ ...options, total: true })
  if (counted.total !== counted.items.length)
    throw new Error(`counted ${counted.total} of ${counted.items.length} rows`)
  return [first, behind, parts, counted]
}

/** The reads by id, of the whole row and of a part. */
export const byId = {
  find: async (all: ScopedRepository<object>, id: string) => [await all.find(id), await all.find(id, ownerOnly)],
  get: async (all: ScopedRepository<object>, id: string) => [await all.get(id, ownerOnly), await all.get(id)],
  findMany: (all: ScopedRepository<object>, id: string) => all.findMany([id]),
  getMany: (all: ScopedRepository<object>, id: string) => all.getMany([id]),
}

const ownerOnly = { select: ['orgId'] } as never

/** A new project. Gives its id. */
export const projectOf = async (org: Org): Promise<string> =>
  (await org.projects.create({ name: 'One', slug: 'one' })).id
