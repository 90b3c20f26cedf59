import { drizzle } from 'drizzle-orm/node-postgres'
import { eq, desc } from 'drizzle-orm'
import pg from 'pg'
import * as schema from '../src/schema/index.js'
import { openTenancy } from './built.js'
import type { BenchDatabase } from './database.js'
import type { Variant } from './measure.js'

const keys = `bench:${Buffer.alloc(32, 1).toString('base64')}`
const projects = 20
const agents = 1000

/**
 * A page of 50 with its parents, and one with its children, beside Drizzle's relational queries. These go without row security, and
 * compare the organization of every table, as an application would write it.
 */
export async function openIncluded({ database, orgId }: BenchDatabase) {
  const { admin } = database
  const of = (kind: string, n: string) => `md5($1::text || '${kind}' || ${n})::uuid`
  const fill = (table: string, count: number, columns: string, values: string) =>
    admin.query(
      `insert into platform.${table} (org_id, id, ${columns}) select $1::uuid, ${of(table, 'n')}, ${values} from generate_series(1, ${count}) n`,
      [orgId],
    )
  await fill('projects', projects, 'name, slug, ref', `'Project ' || n, 'p-' || n, 'ref-' || n`)
  const parent = of('projects', `(n % ${projects} + 1)`)
  await fill('agents', agents, 'name, username, instructions, project_id', `'Agent', 'a-' || n, 'Be brief.', ${parent}`)
  for (const table of ['projects', 'agents']) await admin.query(`vacuum analyze platform.${table}`)

  const tenancy = await openTenancy({ url: database.appUrl, pool: { max: 1 }, keys })
  const owner = new pg.Pool({ connectionString: database.adminUrl, max: 1 })
  const relational = drizzle(owner, { schema })
  const byOrg = (table: typeof schema.agents | typeof schema.projects) => eq(table.orgId, orgId)
  const scoped = () => tenancy.forOrg(orgId)
  return {
    one: {
      name: 'tenantry',
      call: () => scoped().agents.list({ limit: 50, include: { project: true } }),
    } satisfies Variant,
    relationalOne: {
      name: 'drizzle, with',
      call: () =>
        relational.query.agents.findMany({
          where: byOrg(schema.agents),
          orderBy: desc(schema.agents.id),
          limit: 50,
          with: { project: true },
        }),
    } satisfies Variant,
    many: {
      name: 'tenantry',
      call: () => scoped().projects.list({ limit: 50, include: { agents: { limit: 10 } } }),
    } satisfies Variant,
    relationalMany: {
      name: 'drizzle, with',
      call: () =>
        relational.query.projects.findMany({
          where: byOrg(schema.projects),
          orderBy: desc(schema.projects.id),
          limit: 50,
          with: { agents: { where: byOrg(schema.agents), orderBy: desc(schema.agents.id), limit: 10 } },
        }),
    } satisfies Variant,
    plain: { name: 'tenantry, without', call: () => scoped().agents.list({ limit: 50 }) } satisfies Variant,
    async close() {
      await Promise.all([tenancy.close(), owner.end()])
    },
  }
}
