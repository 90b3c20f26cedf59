// `npm run demo`: two organizations on the embedded database, and what one sees of the other. Needs no server.
import { eq, is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import * as schema from 'tenantry/schema'
import { openEmbeddedTenancy } from 'tenantry/testing'

const { agents } = schema

const show = (title: string, value: unknown) => {
  console.log(`\n${title}\n  ${JSON.stringify(value)}`)
}

console.log('Migrating a Postgres in this process…')
const { tenancy, newOrg, close } = await openEmbeddedTenancy()
const alpha = await newOrg({ name: 'Alpha' })
const beta = await newOrg({ name: 'Beta' })

const ada = await alpha.agents.create({ name: 'Ada', username: 'ada' })
await alpha.tasks.enqueue({ kind: 'greet', agentId: ada.id })
await beta.agents.create({ name: 'Bob', username: 'bob' })
await beta.agents.create({ name: 'Ada of Beta', username: 'ada' })

const names = (page: { items: { name: string }[] }) => page.items.map((agent) => agent.name)
show('alpha.agents.list()', names(await alpha.agents.list({ orderBy: 'name' })))
show(
  'beta.agents.list(): the same call, bound to the other organization',
  names(await beta.agents.list({ orderBy: 'name' })),
)
show('alpha.agents.find(ada.id)', (await alpha.agents.find(ada.id))?.name)
show('beta.agents.find(ada.id): the other organization gets undefined', (await beta.agents.find(ada.id)) ?? 'undefined')

const everything = beta.db.select({ name: agents.name }).from(agents)
show('beta.db.select().from(agents): no filter at all, and row security still gives', await everything)
const byOrg = beta.db.select().from(agents).where(eq(agents.orgId, alpha.id))
show('beta.db … where org_id = alpha: asking for them gives', await byOrg)

const refusal = await Promise.resolve()
  .then(() => tenancy.forOrg(''))
  .catch((error: unknown) => String(error))
show('tenancy.forOrg(""): no organization is an error, never "no filter"', refusal)

const tables = Object.values(schema).filter((value) => is(value, PgTable))
console.log(`\n${tables.length} tables, each with row security or the same for everybody.`)
await close()
