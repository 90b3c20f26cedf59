import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { grantsOf } from '../../src/access/grants.js'
import { MyAuditLog } from '../../src/operations/my-audit-log.js'
import { MyInvitations } from '../../src/operations/my-invitations.js'
import { MyOrganizations } from '../../src/operations/my-organizations.js'
import { Profile } from '../../src/operations/profile.js'
import { Sessions } from '../../src/operations/sessions.js'
import { factsOf } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { openWithout, type Wall } from '../../src/testing/walls.js'
import type { Org } from '../../src/org.js'
import { User } from '../../src/user.js'
import { uniquesOf } from './constraint-behaviour.js'

const database = useDatabase()
/** Private methods. */
const inside = new Set(['settling', 'locate'])
const walls: [string, Wall | undefined][] = [
  ['both walls', undefined],
  ['row security alone', 'predicates'],
  ['the predicates alone', 'row security'],
]

describe.each(walls)('%s', (_, without) => {
  let tenancy: Tenancy
  beforeAll(async () => {
    const { appUrl, admin } = database
    ;({ tenancy } = await openWithout({ appUrl, admin, ...(without !== undefined && { without }) }))
  })
  afterAll(() => tenancy.close({ drain: 0 }))

  /** Somebody who is a member of one organization and invited to another. */
  async function person() {
    const user = tenancy.forUser(await createUser(database.admin))
    await database.admin.query('update platform.users set email_confirmed_at = now() where id = $1', [user.id])
    const { session, token, refreshToken } = await user.sessions.start()
    const email = `${user.id}@example.com`
    const [mine, other] = [await organization(), await organization()]
    await mine.members.add({ userId: user.id, email, role: 'worker' })
    const { invitation, token: invitationToken } = await other.invitations.create({ email, role: 'worker' })
    const invited = { orgId: other.id, id: invitation.id }
    return { user, sessionId: session.id, token, refreshToken, orgId: mine.id, invited, invitationToken }
  }

  async function organization(): Promise<Org> {
    const org = tenancy.forOrg(await createOrganization(database.admin))
    await org.roles.create({ key: 'worker', name: 'Worker' })
    return org
  }

  const photograph = async (id: string): Promise<unknown> =>
    database.admin.query(
      `select u::text as row from platform.users u where id = $1
       union all select s::text from platform.user_sessions s where user_id = $1
       union all select m::text from platform.organization_members m where user_id = $1
       union all select i::text from platform.organization_invitations i where email = $1 || '@example.com'
       union all select l::text from platform.user_audit_logs l where user_id = $1 order by 1`,
      [id],
    )

  type One = Awaited<ReturnType<typeof person>>
  const calls: Record<string, (ours: One, theirs: One) => Promise<unknown>> = {
    'profile.get': ({ user }) => user.profile.get(),
    'profile.update': ({ user }) => user.profile.update({ firstName: 'Taken' }),
    'organizations.list': ({ user }) => user.organizations.list(),
    'organizations.leave': ({ user }, { orgId }) => user.organizations.leave(orgId),
    'invitations.list': ({ user }) => user.invitations.list(),
    'invitations.accept': ({ user }, { invited }) => user.invitations.accept(invited),
    'invitations.decline': ({ user }, { invited }) => user.invitations.decline(invited),
    'invitations.accept with the token': ({ user }, { invitationToken }) => user.invitations.accept(invitationToken),
    'invitations.decline with the token': ({ user }, { invitationToken }) => user.invitations.decline(invitationToken),
    'auditLog.list': ({ user }) => user.auditLog.list(),
    'sessions.start': ({ user }) => user.sessions.start(),
    'sessions.list': ({ user }) => user.sessions.list(),
    'sessions.find': ({ user }, { sessionId }) => user.sessions.find(sessionId),
    'sessions.revoke': ({ user }, { sessionId }) => user.sessions.revoke(sessionId),
    'sessions.revokeAllExcept': ({ user }) => user.sessions.revokeAllExcept(newId()),
    'sessions.activate': ({ user }, { sessionId }) => user.sessions.activate(sessionId, newId()),
    authenticate: async ({ token }) => {
      const { user, session } = await tenancy.authenticateSession(token)
      return { id: user.id, session }
    },
    refresh: ({ refreshToken }) => tenancy.refreshSession(refreshToken),
  }

  test.each(Object.keys(calls))('%s keeps another person out', async (name) => {
    const [ours, theirs] = [await person(), await person()]
    const before = await photograph(theirs.user.id)
    const answer = await calls[name]?.(ours, theirs).catch((error: unknown) => String(error))
    expect(await photograph(theirs.user.id)).toEqual(before)
    const shown = JSON.stringify(answer ?? null)
    for (const secret of [theirs.user.id, theirs.sessionId, theirs.orgId, theirs.invited.id])
      expect(shown).not.toContain(secret)
  })

  test('every verb of a person has a case', () => {
    const faces = {
      profile: Profile,
      sessions: Sessions,
      organizations: MyOrganizations,
      invitations: MyInvitations,
      auditLog: MyAuditLog,
    }
    const getters = Object.entries(Object.getOwnPropertyDescriptors(User.prototype)).filter(
      ([, getter]) => getter.get !== undefined,
    )
    expect(getters.map(([name]) => name).sort()).toEqual(Object.keys(faces).sort())
    const verbs = Object.entries(faces).flatMap(([name, { prototype }]) =>
      Object.getOwnPropertyNames(prototype)
        .filter((verb) => verb !== 'constructor' && !inside.has(verb))
        .map((verb) => `${name}.${verb}`),
    )
    expect(verbs.filter((name) => calls[name] === undefined)).toEqual([])
  })
})

test('nobody but the system writes what is unique across organizations', () => {
  const written = platformTables.flatMap((table) => {
    const names = factsOf(table)?.systemKeys ?? []
    const columns = uniquesOf(table).flatMap((key) => (names.includes(key.name) ? key.columns : []))
    const { insert, update } = grantsOf(table).tenantry_app
    return columns.filter((column) => insert === '*' || insert.includes(column) || update.includes(column))
  })
  expect(written).toEqual([])
})
