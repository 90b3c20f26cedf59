// `npm run demo`: a tour on the embedded database. Two organizations, what one sees of the other, and what each can do. Needs no server.
import { is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import * as schema from 'tenantry/schema'
import { openEmbeddedTenancy } from 'tenantry/testing'

const show = (title: string, value: unknown) => {
  console.log(`\n${title}\n  ${typeof value === 'string' ? value : JSON.stringify(value)}`)
}
const refusal = (call: () => PromiseLike<unknown>) =>
  Promise.resolve()
    .then(call)
    .then(() => 'was not refused', String)

console.log('Migrating a Postgres in this process…')
const { tenancy, newOrg, close } = await openEmbeddedTenancy()
const system = tenancy.system({ actor: 'demo', reason: 'a tour' })
const plan = 'tier_free'
const [alpha, beta] = [await newOrg({ slug: 'alpha', plan }), await newOrg({ slug: 'beta', plan })]

const ada = await alpha.agents.create({ name: 'Ada', username: 'ada' })
await beta.agents.create({ name: 'Bob', username: 'bob' })
const { agents } = schema
show('alpha makes Ada, beta makes Bob. beta.agents.list():', (await beta.agents.list()).items[0]?.name)
show("beta.agents.find(ada.id), another organization's id:", (await beta.agents.find(ada.id)) ?? 'undefined')
show('beta.db.select().from(agents), without any filter:', await beta.db.select({ name: agents.name }).from(agents))
show("tenancy.forOrg(''), no organization:", await refusal(async () => tenancy.forOrg('').agents.list()))

await alpha.tasks.enqueue({ kind: 'greet', agentId: ada.id })
const [task] = await alpha.tasks.claim({ owner: 'worker' })
if (task === undefined) throw new Error('there is no task')
const done = await alpha.tasks.complete(task, { output: 'hello' })
show('A worker of alpha claims the task, and completes it:', `${done.kind} ${done.status}`)

const call = { key: 'call-1', metric: 'bandwidth_gb', quantity: '1.5', at: new Date() }
await alpha.usage.record(call)
await alpha.usage.record(call)
const { totals } = await alpha.usage.summary()
show('The same usage twice counts once, beside the limit of the plan:', totals)

await alpha.projects.create({ name: 'One', slug: 'one' })
const two = await alpha.projects.create({ name: 'Two', slug: 'two' })
show(
  'The plan has room for two projects:',
  await refusal(() => alpha.projects.create({ name: 'Three', slug: 'three' })),
)

await system.catalog.flags.upsert({ flagKey: 'search', flagName: 'Search', enabled: true })
await alpha.flags.override('search', { enabled: true, reason: 'a pilot' })
const evaluated = [await alpha.flags.evaluate('search'), await beta.flags.evaluate('search')]
show('A flag that alpha has switched on, and beta has not:', evaluated)

await alpha.projects.credentials.setDatabasePassword(two.id, 'correct horse')
const password = await alpha.projects.credentials.revealDatabasePassword(two.id)
show('A sealed secret prints as', `${String(password)}, and says ${password?.reveal() ?? ''} to who asks for it`)

const trail = (await alpha.audit.list({ limit: 4 })).items
show(
  "alpha's audit log, newest first:",
  trail.map(({ eventType, actorLabel }) => `${eventType} by ${actorLabel ?? ''}`),
)

const tables = Object.values(schema).filter((value) => is(value, PgTable))
console.log(`\n${tables.length} tables, each with row security or the same for everybody.`)
await close()
