import { beforeAll, describe, expect, test } from 'vitest'
import pg from 'pg'
import { newId } from '../../src/core/ids.js'
import { type Team, useTeams } from '../support/use-teams.js'

// As the login of the application, with SQL of an attacker: no repository is between it and the database.
const teams = useTeams()
let mine: Team
let theirs: Team
beforeAll(async () => {
  mine = await teams.newTeam()
  theirs = await teams.newTeam()
})

interface Bound {
  readonly org?: string
  readonly user?: string
}

/** Nothing of it stays. */
async function attempt({ org, user }: Bound, text: string, values: unknown[] = []) {
  const app = new pg.Client({ connectionString: teams.database.appUrl })
  await app.connect()
  try {
    await app.query('begin')
    if (org !== undefined) await app.query('select platform.enter_org($1)', [org])
    if (user !== undefined) await app.query('select platform.enter_user($1)', [user])
    const { rows } = await app.query<Record<string, unknown>>(text, values)
    return { rows }
  } catch (error) {
    return { code: (error as { code?: string }).code, message: (error as Error).message }
  } finally {
    await app.end()
  }
}

const denied = { code: '42501' }
const addService = 'select org_id, kind, user_id from platform.add_service($1, $2, $3, $4)'

describe('a built-in role', () => {
  const insert = (columns: string, values: string) =>
    attempt(
      { org: mine.id },
      `insert into platform.roles (org_id, id, key, name, ${columns}) values ($1, $2, 'forged', 'Forged', ${values}) returning is_built_in`,
      [mine.id, newId()],
    )

  test('cannot be made by the application', async () => {
    expect(await insert('built_in', 'true')).toMatchObject(denied)
    expect(await insert('built_in', 'false')).toMatchObject(denied)
    expect(await insert('is_built_in', 'true')).toMatchObject({
      code: expect.stringMatching(/^(42501|428C9)$/) as string,
    })
    expect(await insert('description', `'as ever'`)).toEqual({ rows: [{ is_built_in: false }] })
  })

  test('is made of no other role, and none of it another', async () => {
    const update = (what: string) =>
      attempt({ org: mine.id }, `update platform.roles set ${what} where org_id = $1`, [mine.id])
    for (const what of ['built_in = true', 'built_in = null', 'is_built_in = default'])
      expect(await update(what)).toMatchObject(denied)
  })
})

describe('add_service', () => {
  const given = () => [newId(), 'Bot', newId(), 'member']

  test('is refused while no organization is bound', async () => {
    expect(await attempt({}, addService, given())).toMatchObject(denied)
    expect(await attempt({ user: mine.owner.userId }, addService, given())).toMatchObject(denied)
  })

  test('makes a service of the bound organization, and nothing else', async () => {
    const [service] = given()
    const values = [service, 'Bot', newId(), 'member']
    expect(await attempt({ org: mine.id }, addService, values)).toEqual({
      rows: [{ org_id: mine.id, kind: 'service', user_id: service }],
    })
  })

  test('makes no member of a person who exists, of either organization', async () => {
    for (const { userId } of [mine.owner, theirs.owner])
      expect(await attempt({ org: mine.id }, addService, [userId, 'Bot', newId(), 'owner'])).toMatchObject({
        code: '23505',
      })
  })

  test('takes no role that only another organization has', async () => {
    await theirs.org.roles.create({ key: 'secret_role', name: 'Theirs' })
    const values = [newId(), 'Bot', newId(), 'secret_role']
    expect(await attempt({ org: mine.id }, addService, values)).toMatchObject({ code: '23503' })
  })
})

describe('my_epoch_in', () => {
  const epoch = (bound: Bound, org: string) => attempt(bound, 'select platform.my_epoch_in($1) as epoch', [org])

  test('tells the bound person only of their own organizations', async () => {
    expect(await epoch({ user: mine.owner.userId }, mine.id)).toEqual({ rows: [{ epoch: 0 }] })
    expect(await epoch({ user: mine.owner.userId }, theirs.id)).toEqual({ rows: [{ epoch: null }] })
    expect(await epoch({ user: newId() }, mine.id)).toEqual({ rows: [{ epoch: null }] })
  })

  test('is refused while no person is bound', async () => {
    expect(await epoch({}, mine.id)).toMatchObject(denied)
    expect(await epoch({ org: mine.id }, mine.id)).toMatchObject(denied)
  })

  test('is null for somebody who is no active member, or of a suspended organization', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    expect(await epoch({ user: userId }, team.id)).toEqual({ rows: [{ epoch: 0 }] })
    await team.org.members.deactivate(memberId)
    expect(await epoch({ user: userId }, team.id)).toEqual({ rows: [{ epoch: null }] })
    await teams.system().organizations.suspend(team.id, 'unpaid')
    expect(await epoch({ user: team.owner.userId }, team.id)).toEqual({ rows: [{ epoch: null }] })
  })
})
