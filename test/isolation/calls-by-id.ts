import type { ScopedRepository } from '../../src/core/scoped-repository.js'

/** The reads by id, which every repository has. */
export const byId = {
  find: (all: ScopedRepository<object>, id: string) => all.find(id),
  get: (all: ScopedRepository<object>, id: string) => all.get(id),
  findMany: (all: ScopedRepository<object>, id: string) => all.findMany([id]),
  getMany: (all: ScopedRepository<object>, id: string) => all.getMany([id]),
}
