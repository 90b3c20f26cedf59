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
  for (const slug of ['lancio', 'orbita'] as const) seeded.push(await seedOrganization(tenancy, slug))
  return seeded
}

async function seedOrganization(tenancy: Tenancy, slug: keyof typeof samples): Promise<Seeded> {
  const { organizations } = tenancy.system({ actor: 'seed', reason: 'organizations to try the API with' })
  const { organization } = await organizations.provision({
    key: `seed ${slug}`,
    name: slug,
    slug,
    plan: 'tier_pro',
    owner: { email: `owner@${slug}.example`, emailConfirmed: true },
  })
  const org = tenancy.forOrg(organization.id)
  await seedWork(org, samples[slug])
  const [owner] = (await org.members.list({ role: 'owner' })).items
  if (owner === undefined) throw new Error(`${slug} has no owner`)
  const { sessions } = tenancy.forUser(owner.userId)
  const session = await sessions.start({ activeOrg: organization.id })
  await sessions.revokeAllExcept(session.session.id)
  return { slug, key: await keyOf(org, owner.userId), session: session.token }
}

type Sample = (typeof samples)[keyof typeof samples]

/** What differs between the two, so that one sees at a glance which one answers. */
const samples = {
  lancio: {
    addons: [{ addonId: 'custom_domain' }, { addonId: 'ipv4', quantity: 2 }],
    bandwidth: ['1.25', '0.75'],
    tasks: ['report', 'import'],
    memory: '41.5',
  },
  orbita: {
    addons: [{ addonId: 'pitr', addonVariant: 'pitr_7' }],
    bandwidth: ['12.5', '3'],
    tasks: ['backup'],
    memory: '73.25',
  },
} as const

async function seedWork(org: Org, { addons, bandwidth, tasks, memory }: Sample): Promise<void> {
  if ((await org.agents.findByUsername('ada')) === undefined) await org.agents.create({ name: 'Ada', username: 'ada' })
  const known = await org.projects.findByRef('default')
  const { id } = known ?? (await org.projects.create({ name: 'Default', slug: 'default', ref: 'default' }))
  // Usage has keys of its own, so that a second run records nothing.
  await org.usage.recordMany(
    bandwidth.map((quantity, place) => ({
      key: `seed ${place + 1}`,
      metric: 'bandwidth_gb',
      quantity,
      projectId: id,
      at: '2026-01-01T00:00:00Z',
    })),
  )
  if (known !== undefined) return
  const now = Date.now()
  await org.usage.record({
    key: 'seed now',
    metric: 'bandwidth_gb',
    quantity: bandwidth[0],
    projectId: id,
    at: new Date(now),
  })
  for (const kind of tasks) await org.tasks.enqueue({ kind })
  for (const addon of addons) await org.projects.addons.activate(id, addon)
  const minute = 60_000
  const measurements = Array.from({ length: 60 }, (_, place) => ({
    recordedAt: new Date(now - place * minute),
    cpuUsage: String(20 + (place % 30)),
    memoryUsage: memory,
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
