import { expect, test } from 'vitest'
import type { Actor } from '../../src/core/actor.js'
import { BrokenReferenceError, NotFoundError } from '../../src/core/errors.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()

/** The person as the actor whom each way of authenticating makes, after a change of the role by SQL. */
async function actorsAfter(change: string, { org, id }: Team, userId: string, role: string): Promise<Actor[]> {
  const { token } = await org.apiKeys.create({ userId, name: 'ci', scopes: ['agents:read', 'agents:write'] })
  const session = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: id })
  await teams.database.admin.query(`update platform.roles set ${change} where org_id = $1 and key = $2`, [id, role])
  const { actor } = await teams.tenancy.authenticateSession(session.token)
  if (actor === undefined) throw new Error('the session has no active organization')
  return [await org.actorFor(userId), (await teams.tenancy.authenticateApiKey(token)).actor, actor]
}

// The verbs refuse both; a row that was written by SQL must not give rights either.
test.each([
  ['is deleted', 'deleted_at = now()', []],
  ['applies to projects only', `applies_to = 'project'`, []],
  ['is as it was', 'updated_at = now()', ['agents:read']],
])(
  'where a role of the organization %s, it gives a member, their key and their session %o',
  async (_, change, expected) => {
    const team = await teams.newTeam()
    await team.org.roles.create({ key: 'reader', name: 'Reader', permissions: ['agents:read'] })
    const { userId } = await team.join('reader')
    const actors = await actorsAfter(change, team, userId, 'reader')
    expect(actors.map(({ permissions }) => [...permissions])).toEqual([expected, expected, expected])
  },
)

test.each([
  ['is deleted', 'deleted_at = now()', []],
  ['applies to the organization only', `applies_to = 'organization'`, []],
  ['is as it was', 'updated_at = now()', ['agents:read']],
])('where a role in a project %s, it gives a member, their key and their session %o', async (_, change, expected) => {
  const team = await teams.newTeam()
  await team.org.roles.create({ key: 'guest', name: 'Guest', appliesTo: 'project', permissions: ['agents:read'] })
  const { userId } = await team.join('customer')
  const project = await team.org.projects.create({ name: 'One', slug: 'one' })
  await team.org.projects.members.add(project.id, { userId, role: 'guest' })
  const actors = await actorsAfter(change, team, userId, 'guest')
  expect(actors.map(({ projects }) => [...(projects.get(project.id) ?? [])])).toEqual([expected, expected, expected])
})

test('the members of a deleted project are hidden, cannot be changed, and come back with it', async () => {
  const team = await teams.newTeam()
  const { projects } = team.org
  const { id } = await projects.create({ name: 'Project', slug: 'hidden' })
  const { userId } = await team.join('developer')
  const member = await projects.members.add(id, { userId, role: 'developer' })
  await projects.delete(id)
  await expect(projects.members.find(id, userId)).resolves.toBeUndefined()
  expect((await projects.members.list(id)).items).toEqual([])
  for (const change of [
    () => projects.members.changeRole(id, userId, 'read_only'),
    () => projects.members.remove(id, userId),
  ])
    await expect(change()).rejects.toThrow(NotFoundError)
  const another = await team.join('developer')
  const added = projects.members.add(id, { userId: another.userId, role: 'developer' })
  await expect(added).rejects.toThrow(BrokenReferenceError)
  await projects.restore(id)
  expect((await projects.members.list(id)).items).toEqual([member])
})
