import { expect, test } from 'vitest'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()

// The verbs refuse both; a row that was written by SQL must not give rights either.
test.each([
  ['is deleted', 'deleted_at = now()', []],
  ['applies to projects only', `applies_to = 'project'`, []],
  ['is as it was', 'updated_at = now()', ['agents:read']],
])(
  'where a role of the organization %s, a member, their key and their session have its rights or none',
  async (_, set, expected) => {
    const team = await teams.newTeam()
    await team.org.roles.create({ key: 'reader', name: 'Reader', permissions: ['agents:read'] })
    const { userId } = await team.join('reader')
    const { token } = await team.org.apiKeys.create({ userId, name: 'ci', scopes: ['agents:read'] })
    const session = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })
    await teams.database.admin.query(`update platform.roles set ${set} where org_id = $1 and key = 'reader'`, [team.id])
    const actors = [
      await team.org.actorFor(userId),
      (await teams.tenancy.authenticateApiKey(token)).actor,
      (await teams.tenancy.authenticateSession(session.token)).actor,
    ]
    expect(actors.map((actor) => [...(actor?.permissions ?? ['none'])])).toEqual([expected, expected, expected])
  },
)

test.each([
  ['is deleted', 'deleted_at = now()', []],
  ['applies to the organization only', `applies_to = 'organization'`, []],
  ['is as it was', 'updated_at = now()', ['agents:read']],
])(
  'where a role in a project %s, a member, their key and their session have its rights or none',
  async (_, set, expected) => {
    const team = await teams.newTeam()
    await team.org.roles.create({ key: 'guest', name: 'Guest', appliesTo: 'project', permissions: ['agents:read'] })
    const { userId } = await team.join('customer')
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId, role: 'guest' })
    const { token } = await team.org.apiKeys.create({ userId, name: 'ci', scopes: ['agents:read', 'agents:write'] })
    const session = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })
    await teams.database.admin.query(`update platform.roles set ${set} where org_id = $1 and key = 'guest'`, [team.id])
    const actors = [
      await team.org.actorFor(userId),
      (await teams.tenancy.authenticateApiKey(token)).actor,
      (await teams.tenancy.authenticateSession(session.token)).actor,
    ]
    expect(actors.map((actor) => [...(actor?.projects.get(project.id) ?? [])])).toEqual([expected, expected, expected])
  },
)
