// Fills one organization with demo data, through its repositories: three members, a project with a database, a disk and a day of
// measurements, an agent with a tool, an active workflow with a schedule and three tasks, usage, a credit, a billing profile and an invoice.
// A second run makes nothing.
//
//   npx tsx examples/seed.ts                          on an embedded database, which is gone at the end
//   DATABASE_URL=… npx tsx examples/seed.ts acme      on a server, for the organization with the slug acme
//
// A server needs the tables and catalogs (`npx tenantry migrate up`, `npx tenantry seed`) and the organization (`npx tenantry org create`).
// DATABASE_URL is that of the application's login, and TENANTRY_KEYS has the keys of that server.
import { fileURLToPath } from 'node:url'
import { openTenancy, type Org, type Tenancy } from 'tenantry'
import { addMember, factories, newOrg, openEmbeddedTenancy } from 'tenantry/testing'

const people = [
  { email: 'ada@acme.example', displayName: 'Ada', role: 'admin' },
  { email: 'grace@acme.example', displayName: 'Grace', role: 'developer' },
  { email: 'alan@acme.example', displayName: 'Alan', role: 'read_only' },
]

/** Fills the organization. Returns false where it was filled before. */
export async function seed(tenancy: Tenancy, org: Org): Promise<boolean> {
  for (const person of people) {
    if ((await org.members.findByEmail(person.email)) !== undefined) continue
    // Undefined registers them.
    await addMember(tenancy, org, { ...person, userId: await tenancy.users.findIdByEmail(person.email) })
  }
  return org.transaction(async (inner) => {
    if (await inner.projects.exists({ slug: 'shop' })) return false
    await fill(inner)
    return true
  })
}

async function fill(org: Org): Promise<void> {
  const make = factories(org)
  const shop = await make.project({ name: 'Shop', slug: 'shop', ref: 'shop' })
  const projectId = shop.id
  await make.database({ projectId, name: 'orders' })
  await make.disk({ projectId })
  for (let place = 0; place < 24; place++) {
    const recordedAt = new Date(Date.now() - place * 3_600_000)
    await make.projectMetric({ projectId, recordedAt, cpuUsage: String(20 + ((place * 7) % 30)) })
  }

  const support = await make.agent({ name: 'Support', username: 'support', projectId })
  await make.agentTool({ agentId: support.id })
  const triage = await make.workflow({ name: 'Triage', slug: 'triage', projectId })
  await org.workflows.activate(triage.id)
  await make.schedule({ workflowId: triage.id, name: 'Every morning', cron: '0 8 * * 1-5', timezone: 'Europe/Berlin' })
  for (const kind of ['refund', 'question', 'complaint']) {
    await make.task({ workflowId: triage.id, agentId: support.id, kind })
  }

  await make.usageEvent({ key: 'seed', quantity: '1.25', projectId })
  await make.credit({ amount: '50.00', reason: 'Welcome' })
  await make.billingProfile({ companyName: 'Acme Inc' })
  await make.invoice({ lines: [{ description: 'Pro, one month', quantity: '1', unitAmount: '25.00' }] })
}

async function main(slug = 'acme'): Promise<void> {
  const { DATABASE_URL: url } = process.env
  const tenancy = url === undefined ? await demo(slug) : await openTenancy({ url })
  const id = await tenancy.organizations.findIdBySlug(slug)
  if (id === undefined) throw new Error(`there is no organization ${slug}`)
  const org = tenancy.forOrg(id)
  const isNew = await seed(tenancy, org)
  const [projects, agents, tasks] = [await org.projects.count(), await org.agents.count(), await org.tasks.count()]
  console.log(
    `${slug} ${isNew ? 'has now' : 'was filled before:'} ${projects} projects, ${agents} agents, ${tasks} tasks`,
  )
  await tenancy.close()
}

async function demo(slug: string): Promise<Tenancy> {
  const { tenancy } = await openEmbeddedTenancy()
  await newOrg(tenancy, { slug })
  return tenancy
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2])
