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
  if ((await org.projects.findByRef('default')) === undefined) {
    await org.projects.create({ name: 'Default', slug: 'default', ref: 'default' })
  }
  if ((await org.agents.findByUsername('ada')) === undefined) await org.agents.create({ name: 'Ada', username: 'ada' })
}

async function keyOf(org: Org, userId: string): Promise<string> {
  const name = 'seed'
  const [known] = (await org.apiKeys.list({ name, status: 'active', limit: 1 })).items
  if (known !== undefined) return (await org.apiKeys.rotate(known.id)).token
  const { permissions } = await org.actorFor(userId)
  return (await org.apiKeys.create({ userId, name, scopes: [...permissions] })).token
}
