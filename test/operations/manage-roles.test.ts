import { describe, expect, test } from 'vitest'
import { ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { builtInRoles } from '../../src/schema/built-in-roles.js'
import { refusalsOf } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const support = { key: 'support', name: 'Support', permissions: ['agents:read', 'tasks:read'] }

describe('roles', () => {
  test('are those of the code, and the organization’s own', async () => {
    const team = await teams.newTeam()
    const made = await team.org.roles.create(support)
    expect(made).toMatchObject({ key: 'support', name: 'Support', appliesTo: 'organization', isBuiltIn: false })
    expect(await team.org.roles.permissionsOf('support')).toEqual(['agents:read', 'tasks:read'])
    expect(await team.org.roles.count()).toBe(builtInRoles.length + 1)
    expect(await team.org.roles.findByKey('support')).toEqual(made)
    expect(await team.org.roles.permissionsOf('unknown')).toEqual([])
  })

  test('give and lose permissions, and nothing else changes', async () => {
    const team = await teams.newTeam()
    await team.org.roles.create(support)
    expect(await team.org.roles.grant('support', ['tasks:write', 'tasks:read'])).toEqual([
      'agents:read',
      'tasks:read',
      'tasks:write',
    ])
    expect(await team.org.roles.revoke('support', 'agents:read')).toEqual(['tasks:read', 'tasks:write'])
    expect(await team.org.roles.update('support', { name: 'Help' })).toMatchObject({ key: 'support', name: 'Help' })
    expect(await team.org.roles.permissionsOf('support')).toEqual(['tasks:read', 'tasks:write'])
    await expect(team.org.roles.grant('support', 'nothing:read')).rejects.toThrow(
      'permissions: contains nothing:read, which is not a permission',
    )
    await expect(team.org.roles.revoke('support', 'nothing:read')).rejects.toThrow(InvalidInputError)
    await expect(team.org.roles.create({ key: 'odd', name: 'Odd', permissions: ['nothing:read'] })).rejects.toThrow(
      InvalidInputError,
    )
    await expect(team.org.roles.update('support', { key: 'other' } as never)).rejects.toThrow(InvalidInputError)
    await expect(team.org.roles.grant('unknown', 'tasks:read')).rejects.toThrow(NotFoundError)
  })

  test('of the code keep their permissions, and cannot be deleted', async () => {
    const { org } = await teams.newTeam()
    await expect(org.roles.grant('member', 'audit:read')).rejects.toThrow(/of a built-in role cannot be changed/)
    await expect(org.roles.revoke('member', 'agents:read')).rejects.toThrow(/of a built-in role cannot be changed/)
    await expect(org.roles.delete('customer')).rejects.toThrow('roles: a built-in role cannot be deleted')
    await expect(org.roles.create({ key: 'member', name: 'Mine' })).rejects.toMatchObject({ code: 'conflict' })
  })

  test('once deleted can be made again, without the old permissions', async () => {
    const { org } = await teams.newTeam()
    const first = await org.roles.create(support)
    await org.roles.delete('support')
    expect(await org.roles.findByKey('support')).toBeUndefined()
    expect(await org.roles.permissionsOf('support')).toEqual([])
    const again = await org.roles.create({ key: 'support', name: 'Again', appliesTo: 'both' })
    expect(again).toMatchObject({ id: first.id, name: 'Again', appliesTo: 'both', deletedAt: null })
    expect(await org.roles.permissionsOf('support')).toEqual([])
  })

  test('in use are deleted only when their holders get another one', async () => {
    const team = await teams.newTeam()
    await team.org.roles.create({ ...support, appliesTo: 'both' })
    const { userId, memberId } = await team.join('support')
    const inactive = await team.join('support')
    await team.org.members.deactivate(inactive.memberId)
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId, role: 'support' })
    await teams.database.admin.query(
      `insert into platform.organization_invitations (org_id, id, email, role, token_hash, pepper_id, expires_at)
       values ($1, gen_random_uuid(), 'new@example.com', 'support', '\\x01', 'test', now() + interval '1 d')`,
      [team.id],
    )

    await expect(team.org.roles.delete('support')).rejects.toThrow(
      'roles: this role is in use by 2 members, 1 pending invitations and 1 project members',
    )
    await expect(team.org.roles.delete('support', { reassignTo: 'support' })).rejects.toThrow(InvalidInputError)
    await expect(team.org.roles.delete('support', { reassignTo: 'owner' })).rejects.toThrow(
      'reassignTo: cannot be owner',
    )
    await expect(team.org.roles.delete('support', { reassignTo: 'member' })).rejects.toThrow(
      'reassignTo: must be a role that applies to projects',
    )
    await team.org.roles.delete('support', { reassignTo: 'read_only' })
    expect(await team.org.members.get(memberId)).toMatchObject({ role: 'read_only' })
    expect(await team.org.members.get(inactive.memberId)).toMatchObject({ role: 'read_only' })
    expect(await team.org.projects.members.find(project.id, userId)).toMatchObject({ role: 'read_only' })
    const [invitation] = await teams.database.admin.query(
      'select role from platform.organization_invitations where org_id = $1',
      [team.id],
    )
    expect(invitation).toEqual({ role: 'read_only' })
  })
})

describe('with an actor, nobody', () => {
  test('gives a permission that they lack, nor touches a role that exceeds their own', async () => {
    const team = await teams.newTeam()
    await team.org.roles.create({
      key: 'keeper',
      name: 'Keeper',
      permissions: ['roles:read', 'roles:write', 'agents:read'],
    })
    await team.org.roles.create({ ...support, permissions: ['agents:write'] })
    const { roles } = await team.as((await team.join('keeper')).userId)
    for (const refused of await refusalsOf([
      roles.create({ key: 'more', name: 'More', permissions: ['agents:write'] }),
      roles.grant('keeper', 'agents:write'),
      roles.grant('support', 'agents:read'),
      roles.revoke('support', 'agents:write'),
      roles.update('support', { name: 'Mine' }),
      roles.delete('support'),
    ])) {
      expect(() => {
        throw refused as Error
      }).toThrow(ForbiddenError)
    }
    expect(await roles.create({ key: 'less', name: 'Less', permissions: ['agents:read'] })).toMatchObject({
      key: 'less',
    })
  })

  test('hands the members of a deleted role one that exceeds their own', async () => {
    const team = await teams.newTeam()
    const permissions = ['roles:read', 'roles:write', 'agents:read']
    await team.org.roles.create({ key: 'keeper', name: 'Keeper', permissions })
    await team.org.roles.create({ key: 'guest', name: 'Guest', appliesTo: 'both', permissions: ['agents:read'] })
    const { userId, memberId } = await team.join('guest')
    const { roles } = await team.as((await team.join('keeper')).userId)
    await expect(roles.delete('guest', { reassignTo: 'admin' })).rejects.toThrow(/^the role admin has permissions that/)
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId, role: 'guest' })
    await team.org.members.changeRole(memberId, 'customer')
    await expect(roles.delete('guest', { reassignTo: 'developer' })).rejects.toThrow(
      /^the role developer has permissions that/,
    )
    expect(await team.org.projects.members.find(project.id, userId)).toMatchObject({ role: 'guest' })
  })

  test('manages roles without the permission', async () => {
    const team = await teams.newTeam()
    const { roles } = await team.as((await team.join('manager')).userId)
    await expect(roles.create(support)).rejects.toThrow(new ForbiddenError('roles:write'))
  })
})
