import type { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Org } from '../../src/org.js'

type AnyRepository = ScopedRepository<object>

/** A repository, or the rows of one parent. */
interface Listing {
  list(options: object): PromiseLike<{ readonly items: readonly unknown[]; readonly next: string | undefined }>
}

/**
 * Lists with each option that changes the statement: several orders with NULLs, a page behind a cursor, some fields, a search in text, and
 * the total. Throws when the total is not the number of the rows, and when there are rows and no second page.
 */
export async function listEveryWay(
  all: Listing,
  orderBy: readonly string[],
  filter: object = {},
  select: readonly string[] = ['orgId', 'id'],
): Promise<unknown[]> {
  const options = { ...filter, orderBy }
  const first = await all.list({ ...options, limit: 1 })
  if (first.items.length > 0 && first.next === undefined) throw new Error('no row lies behind the cursor')
  const behind = await all.list({ ...options, after: first.next })
  const parts = await all.list({ ...options, select })
  const counted = (await all.list({ ...options, total: true })) as { total?: number; items: readonly unknown[] }
  if (counted.total !== counted.items.length)
    throw new Error(`counted ${counted.total} of ${counted.items.length} rows`)
  return [first, behind, parts, counted]
}

/**
 * The reads by id, of the whole row and of a part, and the aggregates, which every repository has; with all its relations, where it has
 * some.
 */
export const reads = (counted: string, ranged: string, include?: Readonly<Record<string, true | object>>) => {
  const part = { select: ['orgId'] } as never
  const related = { include } as never
  const both = { include, select: ['orgId'] } as never
  return {
    find: async (all: AnyRepository, id: string) => [
      await all.find(id),
      await all.find(id, part),
      await all.find(id, related),
      await all.find(id, both),
    ],
    get: async (all: AnyRepository, id: string) => [
      await all.get(id, part),
      await all.get(id),
      await all.get(id, related),
      await all.get(id, both),
    ],
    findMany: (all: AnyRepository, id: string) => all.findMany([id]),
    getMany: (all: AnyRepository, id: string) => all.getMany([id]),
    countBy: (all: AnyRepository) => all.countBy(counted as never),
    min: (all: AnyRepository, id: string) => all.min(ranged as never, { not: { id } } as never),
    max: (all: AnyRepository, id: string) => all.max(ranged as never, { id } as never),
  }
}

/** A new project. Gives its id. */
export const projectOf = async (org: Org): Promise<string> =>
  (await org.projects.create({ name: 'One', slug: 'one' })).id

type Preparation = (org: Org, id: string) => Promise<void>

/** The same preparation for several methods. */
export const each = <Name extends string>(names: readonly Name[], prepare: Preparation) =>
  Object.fromEntries(names.map((name) => [name, prepare])) as Record<Name, Preparation>
