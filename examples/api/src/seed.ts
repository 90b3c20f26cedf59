import type { Org, Tenancy } from 'tenantry'

export interface Seeded {
  readonly slug: string
  /** An API key of the organization's owner. Each run of the seed replaces it. */
  readonly key: string
  /** A session of the owner, in this organization. */
  readonly session: string
}

/** Two organizations to try the API with. A second run changes nothing but the credentials. */
export async function seed(tenancy: Tenancy): Promise<Seeded[]> {
  const seeded: Seeded[] = []
  for (const slug of ['lancio', 'orbita']) seeded.push(await seedOrganization(tenancy, slug))
  return seeded
}

async function seedOrganization(tenancy: Tenancy, slug: string): Promise<Seeded> {
  const { organizations } = tenancy.system({ actor: 'seed', reason: 'organizations to try the API with' })
  const { organization } = await organizations.provision({
    key: `seed ${slug}`,
    name: slug,
    slug,
    plan: 'tier_pro',
    owner: { email: `owner@${slug}.example`, emailConfirmed: true },
  })
  const org = tenancy.forOrg(organization.id)
  await seedWork(org)
  const [owner] = (await org.members.list({ role: 'owner' })).items
  if (owner === undefined) throw new Error(`${slug} has no owner`)
  const { sessions } = tenancy.forUser(owner.userId)
  const session = await sessions.start({ activeOrg: organization.id })
  await sessions.revokeAllExcept(session.session.id)
  return { slug, key: await keyOf(org, owner.userId), session: session.token }
}

async function seedWork(org: Org): Promise<void> {
  if ((await org.agents.findByUsername('ada')) === undefined) await org.agents.create({ name: 'Ada', username: 'ada' })
  const known = await org.projects.findByRef('default')
  const { id } = known ?? (await org.projects.create({ name: 'Default', slug: 'default', ref: 'default' }))
  // Usage has keys of its own, so that a second run records nothing.
  const at = '2026-01-01T00:00:00Z'
  await org.usage.recordMany([
    { key: 'seed 1', metric: 'bandwidth_gb', quantity: '1.25', projectId: id, at },
    { key: 'seed 2', metric: 'bandwidth_gb', quantity: '0.75', projectId: id, at },
  ])
  if (known !== undefined) return
  await org.projects.addons.activate(id, { addonId: 'custom_domain' })
  await org.projects.addons.activate(id, { addonId: 'ipv4', quantity: 2 })
  const minute = 60_000
  const measurements = Array.from({ length: 60 }, (_, place) => ({
    recordedAt: new Date(Date.now() - place * minute),
    cpuUsage: String(20 + (place % 30)),
    memoryUsage: '41.5',
  }))
  await org.projects.metrics.record(id, measurements)
}

async function keyOf(org: Org, userId: string): Promise<string> {
  const name = 'seed'
  const [known] = (await org.apiKeys.list({ name, status: 'active', limit: 1 })).items
  if (known !== undefined) return (await org.apiKeys.rotate(known.id)).token
  const { permissions } = await org.actorFor(userId)
  return (await org.apiKeys.create({ userId, name, scopes: [...permissions] })).token
}
