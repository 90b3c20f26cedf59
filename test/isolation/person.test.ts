import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { grantsOf } from '../../src/access/grants.js'
import { Sessions } from '../../src/operations/sessions.js'
import { factsOf } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { openWithout, type Wall } from '../../src/testing/walls.js'
import type { User } from '../../src/user.js'
import { uniquesOf } from './constraint-behaviour.js'

const database = useDatabase()
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

  async function person(): Promise<{ user: User; sessionId: string; token: string; refreshToken: string }> {
    const user = tenancy.forUser(await createUser(database.admin))
    const { session, token, refreshToken } = await user.sessions.start()
    return { user, sessionId: session.id, token, refreshToken }
  }

  const photograph = async (id: string): Promise<unknown> =>
    database.admin.query(
      `select u::text as row from platform.users u where id = $1
       union all select s::text from platform.user_sessions s where user_id = $1
       union all select l::text from platform.user_audit_logs l where user_id = $1 order by 1`,
      [id],
    )

  type One = Awaited<ReturnType<typeof person>>
  const calls: Record<string, (ours: One, theirs: One) => Promise<unknown>> = {
    'profile.get': ({ user }) => user.profile.get(),
    'profile.update': ({ user }) => user.profile.update({ firstName: 'Taken' }),
    'organizations.list': ({ user }) => user.organizations.list(),
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
    for (const secret of [theirs.user.id, theirs.sessionId]) expect(shown).not.toContain(secret)
  })

  test('every verb of the sessions has a case', () => {
    const verbs = Object.getOwnPropertyNames(Sessions.prototype).filter((name) => name !== 'constructor')
    expect(verbs.map((name) => `sessions.${name}`).filter((name) => calls[name] === undefined)).toEqual([])
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
