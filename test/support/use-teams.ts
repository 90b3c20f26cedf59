import { afterAll, beforeAll } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { seed } from '../../src/migrations/seed.js'
import type { NewProvision } from '../../src/operations/provision.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'

/** The master key of the tenancies in tests. */
export const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`

/** An organization with its built-in roles and an owner. */
export interface Team {
  /** Its scope without an actor. */
  readonly org: Org
  readonly id: string
  /** The id of the person who owns it, and of their row as a member. */
  readonly owner: { readonly userId: string; readonly memberId: string }
  /** Adds a new person with that role. */
  join(role: string): Promise<{ readonly userId: string; readonly memberId: string }>
  /** Its scope with that person as the actor. */
  as(userId: string): Promise<Org>
}

type PlanValues = { readonly maxProjects?: number; readonly maxMembers?: number } & Readonly<
  Record<string, number | null>
>

/** A database of the test file's own with the first catalogs, and a tenancy that can provision. */
export function useTeams() {
  const database = useDatabase()
  let opened: Tenancy | undefined
  beforeAll(async () => {
    await seed(database.admin)
    opened = await openTenancy({ url: database.appUrl, pool: { max: 20 }, systemUrl: database.systemUrl, keys })
  })
  afterAll(() => opened?.close({ drain: 0 }))
  const tenancy = (): Tenancy => {
    if (opened === undefined) throw new Error('read the tenancy in tests and hooks only')
    return opened
  }
  const system = () => tenancy().system({ actor: 'test', reason: 'a test' })
  return {
    database,
    get tenancy() {
      return tenancy()
    },
    system,
    newUser: (values?: { email?: string }): Promise<string> => createUser(database.admin, values),
    /** A plan of its own with these limits. */
    async newPlan({ maxProjects, maxMembers, ...limits }: PlanValues): Promise<string> {
      const id = `plan_${newId()}`
      await database.admin.query(
        `insert into platform.billing_plans (id, name, price, currency, interval, max_projects, max_members, limits)
         values ($1, $1, '0', 'USD', 'month', $2, $3, $4)`,
        [id, maxProjects ?? null, maxMembers ?? null, JSON.stringify(limits)],
      )
      return id
    },
    subscribe: async ({ id }: Team, plan: string): Promise<void> => {
      await database.admin.query('update platform.subscriptions set plan_id = $2 where org_id = $1', [id, plan])
    },
    async newTeam(values: Partial<NewProvision> = {}): Promise<Team> {
      const key = newId()
      const userId = await createUser(database.admin)
      const { organization } = await system().organizations.provision({
        key,
        name: key,
        slug: `team-${key}`,
        plan: 'tier_enterprise',
        owner: { userId },
        ...values,
      })
      const { id } = organization
      const org = tenancy().forOrg(id)
      const owner = await org.members.findByUser(userId)
      return {
        org,
        id,
        owner: { userId, memberId: owner?.id ?? '' },
        async join(role) {
          const joined = await createUser(database.admin)
          const member = await org.members.add({ userId: joined, email: `${joined}@example.com`, role })
          return { userId: joined, memberId: member.id }
        },
        as: async (person) => tenancy().forOrg(id, { actor: await org.actorFor(person) }),
      }
    },
  }
}

/** An API key of a new member with that role, which may read and write agents where the role allows it. */
export async function newKey(team: Team, more: { role?: string; rateLimitPerHour?: number } = {}) {
  const { role = 'developer', ...values } = more
  const { userId } = await team.join(role)
  return team.org.apiKeys.create({ userId, name: newId(), scopes: ['agents:read', 'agents:write'], ...values })
}

/** A new role with these permissions, for the organization and for single projects. Returns its key. */
export async function newRole({ org }: Team, permissions: string[]): Promise<string> {
  const key = `r_${newId().replaceAll('-', '_').slice(0, 30)}`
  return (await org.roles.create({ key, name: key, permissions, appliesTo: 'both' })).key
}

/** The scope of a new member who has these permissions, and in single projects those of a role. */
export async function newActor(
  team: Team,
  permissions: string[],
  inProjects: readonly (readonly [projectId: string, role: string])[] = [],
): Promise<Org> {
  const { userId } = await team.join(await newRole(team, permissions))
  for (const [projectId, role] of inProjects) await team.org.projects.members.add(projectId, { userId, role })
  return team.as(userId)
}
