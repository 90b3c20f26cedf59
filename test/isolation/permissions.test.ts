import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ForbiddenError, NotFoundError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { permissionCatalog } from '../../src/schema/built-in-roles.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { openWithout } from '../../src/testing/walls.js'
import { type OrgCases, orgCases } from './contract-cases.js'

const database = useDatabase()
let tenancy: Tenancy
let count: () => number
let addKey: (orgId: string) => Promise<void>
beforeAll(async () => {
  ;({ tenancy, count, addKey } = await openWithout(database))
})
afterAll(() => tenancy.close({ drain: 0 }))

const resources: Readonly<Record<keyof OrgCases, string>> = {
  agents: 'agents',
  apiKeys: 'api_keys',
  audit: 'audit',
  credits: 'credits',
  invitations: 'invitations',
  llms: 'llms',
  invoices: 'invoices',
  members: 'members',
  paymentMethods: 'payment_methods',
  projects: 'projects',
  roles: 'roles',
  schedules: 'schedules',
  tasks: 'tasks',
  tools: 'tools',
  usage: 'usage',
  taxIds: 'tax_ids',
  workflows: 'workflows',
}
const isRead = (verb: string) =>
  /^(find|get|list|stream|count|exists|sum$|min$|max$|due$|permissionsOf|tools$|summary|balance|entries)/.test(verb)

/** Verbs with a permission of their own, which the tests of their repositories try. */
const hasItsOwn = new Set(['export', 'reveal'])

type Case = ContractCase<never>
const cases = Object.entries(orgCases as unknown as Record<string, Case>).map(([name, one]) => {
  const resource = resources[name as keyof OrgCases]
  const verbs = Object.keys(one.calls).filter((verb) => !hasItsOwn.has(verb))
  return { name, resource, one, reads: verbs.filter(isRead), writes: verbs.filter((verb) => !isRead(verb)) }
})

/** The scope of a new member with every permission but these. */
async function without(org: Org, ...missing: string[]): Promise<Org> {
  const permissions = Object.keys(permissionCatalog).filter((permission) => !missing.includes(permission))
  await org.roles.create({ key: 'almost_all', name: 'Almost all', permissions })
  const userId = await createUser(database.admin)
  await org.members.add({ userId, email: `${userId}@example.com`, role: 'almost_all' })
  return tenancy.forOrg(org.id, { actor: await org.actorFor(userId) })
}

/** The row of a new organization, prepared for the verb, and what the verb does with it in the scope of such a member. */
async function attempt(one: Case, verb: string, ...missing: string[]): Promise<{ answer: unknown; sent: number }> {
  const org = tenancy.forOrg(await createOrganization(database.admin))
  await database.admin.query('update platform.organizations set allow_user_management = true where id = $1', [org.id])
  await addKey(org.id)
  const made = await one.make(org, database.admin)
  const prepare = one.prepare as Record<string, (org: Org, id: string) => Promise<unknown>> | undefined
  const prepared = await prepare?.[verb]?.(org, made)
  const id = typeof prepared === 'string' ? prepared : made
  const actor = await without(org, ...missing)
  const before = count()
  const call = one.calls[verb as never] as (repository: unknown, id: string) => unknown
  const answer = await collected(() => call(actor.repository(one.repository), id)).catch((error: unknown) => error)
  return { answer, sent: count() - before }
}

async function collected(call: () => unknown): Promise<unknown> {
  const value = await call()
  if (typeof value !== 'object' || value === null || !(Symbol.asyncIterator in value)) return value
  const rows: unknown[] = []
  for await (const row of value as AsyncIterable<unknown>) rows.push(row)
  return rows
}

const emptyPage = { items: [], next: undefined, previous: undefined }
// The members of projects are read by the same permission, so projects with their members are refused.
const nothing = [
  undefined,
  null,
  0,
  false,
  emptyPage,
  { ...emptyPage, total: 0 },
  new NotFoundError('projects'),
  new ForbiddenError('projects:read'),
]
/** The rows of a list, and the answers of a case that calls several times. */
const partsOf = (answer: unknown): unknown[] => (Array.isArray(answer) ? answer.flatMap(partsOf) : [answer])

describe.each(cases.map((one) => ({ ...one, asked: `${one.resource}:read` })))(
  'without $asked, and with everything else',
  ({ name, one, reads, asked }) => {
    // Reads of projects show those in which the actor has a role: here none.
    const isHidden = name === 'projects'
    test.each(reads)('%s is refused, or shows nothing', async (verb) => {
      const { answer, sent } = await attempt(one, verb, asked)
      if (!isHidden) expect({ answer, sent }).toEqual({ answer: new ForbiddenError(asked), sent: 0 })
      else for (const part of partsOf(answer)) expect(nothing).toContainEqual(part)
    })
  },
)

describe.each(cases.map((one) => ({ ...one, asked: `${one.resource}:write` })))(
  'without $asked, and with everything else',
  ({ one, writes, asked }) => {
    test.each(writes)('%s is refused, and sends nothing', async (verb) => {
      expect((await attempt(one, verb, asked)).answer).toEqual(new ForbiddenError(asked))
      // Some of the calls look the row up first, which is refused too without the other permission.
      const { answer, sent } = await attempt(one, verb, asked, asked.replace(':write', ':read'))
      expect({ isForbidden: answer instanceof ForbiddenError, sent }).toEqual({ isForbidden: true, sent: 0 })
    })
  },
)

test('the member who lacks nothing is refused nothing', async () => {
  for (const { one, reads, writes } of cases) {
    for (const verb of [...reads, ...writes]) {
      const { answer } = await attempt(one, verb)
      expect(answer, `${one.repository.name}.${verb}`).not.toBeInstanceOf(Error)
    }
  }
})
