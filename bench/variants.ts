import { and, eq, getTableColumns, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import type { Query } from '../src/core/query.js'
import type { Scope } from '../src/core/scope.js'
import type { NewTask, Task } from '../src/schema/tasks.js'
import { newId, newTask, openTenancy, ScopedRepository, tasks } from './built.js'
import type { BenchDatabase } from './database.js'
import type { Variant } from './measure.js'

const columns = Object.values(getTableColumns(tasks)).map((column) => `"${column.name}"`)
const selected = columns.join(', ')

export const find = `select ${selected} from platform.tasks where org_id = $1 and id = $2`

const texts = {
  find,
  list: `select ${selected} from platform.tasks where org_id = $1 order by id desc limit 50`,
  update: `update platform.tasks set priority = $3, updated_at = now() where org_id = $1 and id = $2 returning ${selected}`,
  insert: `insert into platform.tasks (org_id, id, kind, input) values ($1, $2, $3, $4) returning ${selected}`,
}
type Operation = keyof typeof texts

/** Tasks with a bulk insert, which they need only here. */
class ManyTasks extends ScopedRepository<Task> {
  constructor(scope: Scope) {
    super(scope, tasks)
  }

  create(values: readonly NewTask[]): Query<Task[]> {
    return this.insertRows(newTask, values)
  }

  enqueue(values: readonly NewTask[]): Query<number> {
    return this.appendRows(newTask, values)
  }
}

const keys = `bench:${Buffer.alloc(32, 1).toString('base64')}`
const input = { to: 'someone', tries: 3 }

/** The compared variants, over connections of one kind: `size` of them, through `route`. */
export async function openVariants(bench: BenchDatabase, size = 1, route = (url: string): string => url) {
  const { orgId, taskIds, database } = bench
  const id = (call: number): string => taskIds[(call * 7919) % taskIds.length] ?? ''
  const tenancy = await openTenancy({ url: route(database.appUrl), pool: { max: size }, keys })
  // A pool of the owner, to whom row security does not apply.
  const owner = new pg.Pool({ connectionString: route(database.adminUrl), max: size })
  const binding = new pg.Pool({ connectionString: route(bench.bindingUrl), max: size })
  const scoped = (): ReturnType<typeof tenancy.forOrg> => tenancy.forOrg(orgId)

  const values = (operation: Operation, call: number): unknown[] => {
    if (operation === 'list') return [orgId]
    if (operation === 'find') return [orgId, id(call)]
    if (operation === 'update') return [orgId, id(call), call % 5]
    return [orgId, newId(), 'mail', JSON.stringify(input)]
  }
  const raw = (operation: Operation, named = true): Variant => ({
    name: named ? 'pg, named' : 'pg, unnamed',
    call: (call) =>
      owner.query({ ...(named && { name: operation }), text: texts[operation], values: values(operation, call) }),
  })
  const calls: Record<Operation, (call: number) => Promise<unknown>> = {
    find: (call) => scoped().tasks.get(id(call)),
    list: () => scoped().tasks.list({ limit: 50 }),
    update: (call) => scoped().tasks.update(id(call), { priority: call % 5 }),
    insert: () => scoped().tasks.enqueue({ kind: 'mail', input }),
  }
  const builder = drizzle(owner)
  const isolated = drizzle(binding)
  const row = (call: number) => and(eq(tasks.orgId, orgId), eq(tasks.id, id(call)))
  const many = Array.from({ length: 1000 }, () => ({ kind: 'mail', input }))
  const drizzleMany = () => builder.insert(tasks).values(many.map((task) => ({ ...task, orgId, id: newId() })))
  return {
    raw,
    scoped: (operation: Operation): Variant => ({ name: 'tenantry', call: calls[operation] }),
    /** Drizzle's builder over the scope: `org.db`. */
    scopedBuilder: {
      name: 'tenantry, org.db',
      call: (call) => scoped().db.select().from(tasks).where(row(call)),
    } satisfies Variant,
    builder: { name: 'drizzle', call: (call) => builder.select().from(tasks).where(row(call)) } satisfies Variant,
    isolated: {
      name: 'drizzle, transaction() with set_config',
      call: (call) =>
        isolated.transaction(async (tx) => {
          await tx.execute(sql`select set_config('tenantry.org_id', ${orgId}, true)`)
          return tx.select().from(tasks).where(row(call))
        }),
    } satisfies Variant,
    fiveReads: {
      name: 'pg, named, five reads',
      call: async (call) => {
        for (let read = 0; read < 5; read++) await raw('find').call(call + read)
      },
    } satisfies Variant,
    tick: {
      name: 'tenantry, five reads of one tick',
      call: (call) => Promise.all([0, 1, 2, 3, 4].map((read) => scoped().tasks.get(id(call + read)))),
    } satisfies Variant,
    batch: {
      name: 'tenantry, batch of five',
      call: (call) =>
        scoped().batch((org) => [
          org.tasks.get(id(call)),
          org.tasks.get(id(call + 1)),
          org.tasks.get(id(call + 2)),
          org.tasks.get(id(call + 3)),
          org.tasks.get(id(call + 4)),
        ]),
    } satisfies Variant,
    insertMany: {
      name: 'tenantry',
      call: () => scoped().repository(ManyTasks).create(many),
    } satisfies Variant,
    drizzleInsertMany: { name: 'drizzle', call: () => drizzleMany().returning() } satisfies Variant,
    append: { name: 'tenantry', call: () => scoped().repository(ManyTasks).enqueue(many) } satisfies Variant,
    drizzleAppend: { name: 'drizzle', call: () => drizzleMany() } satisfies Variant,
    async close() {
      await Promise.all([tenancy.close(), owner.end(), binding.end()])
    },
  }
}
