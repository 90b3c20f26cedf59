import { expect, test } from 'vitest'
import { ForbiddenError, InvalidInputError } from '../../src/core/errors.js'
import { openSession } from '../../src/database/session.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()

test('an organization reads and changes its own row, and nothing that the system decides', async () => {
  const [one, other] = [await teams.newTeam(), await teams.newTeam()]
  const before = await one.org.organization.get()
  expect(before).toMatchObject({ id: one.id, status: 'active', allowUserManagement: true })
  expect(Object.keys(before)).not.toContain('provisionHash')
  const changed = await one.org.organization.update({ name: `New ${one.id}`, settings: { locale: 'de' } })
  expect(changed).toMatchObject({ name: `New ${one.id}`, settings: { locale: 'de' } })
  await expect(other.org.organization.update({ name: `new ${one.id}` })).rejects.toMatchObject({ code: 'conflict' })
  for (const patch of [
    { status: 'active' },
    { allowUserManagement: true },
    { id: other.id },
    { temporalNamespace: 'x' },
  ]) {
    await expect(one.org.organization.update(patch as never)).rejects.toThrow(InvalidInputError)
  }
})

test('with an actor it takes the permission of the organization', async () => {
  const team = await teams.newTeam()
  const org = await team.as((await team.join('member')).userId)
  expect(await org.organization.get()).toMatchObject({ id: team.id })
  await expect(org.organization.update({ name: 'Mine' })).rejects.toThrow(new ForbiddenError('organization:write'))
})

test('the login of the application cannot write what the system decides, not even by SQL', async () => {
  const team = await teams.newTeam()
  const session = await openSession({ url: teams.database.appUrl })
  const write = async (set: string) => {
    await session.query('begin')
    await session.query('select platform.enter_org($1)', [team.id])
    try {
      return await session.query(`update platform.organizations set ${set}`)
    } finally {
      await session.query('rollback')
    }
  }
  await expect(write(`settings = '{}'`)).resolves.toBeDefined()
  for (const set of [
    `status = 'active'`,
    'suspended_at = now()',
    `suspended_reason = ''`,
    `temporal_namespace = 'x'`,
    'allow_user_management = true',
    `external_id = 'x'`,
    'deleted_at = now()',
    'provision_key = null',
  ]) {
    await expect(write(set), set).rejects.toMatchObject({ code: '42501' })
  }
  await session.close()
})
