import { newId } from '../../src/core/ids.js'
import type { Session } from '../../src/database/session.js'
import { ManagedApiKeys } from '../../src/operations/manage-api-keys.js'
import { ManagedInvitations } from '../../src/operations/manage-invitations.js'
import { ManagedMembers } from '../../src/operations/manage-members.js'
import { ManagedRoles } from '../../src/operations/manage-roles.js'
import type { Org } from '../../src/org.js'
import {
  apiKeys,
  organizationInvitations,
  organizationMembers,
  rolePermissions,
  roles,
} from '../../src/schema/index.js'
import { createUser } from '../../src/testing/fixtures.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import { listEveryWay, reads } from './every-option.js'

const worker = { key: 'worker', name: 'Worker', permissions: ['agents:read'] }
const newMember = async (org: Org, admin: Session, role: string) => {
  const userId = await createUser(admin)
  return org.members.add({ userId, email: `${userId}@example.com`, role })
}

export const membersCase = {
  repository: ManagedMembers,
  tables: [roles, rolePermissions, organizationMembers, apiKeys],
  make: async (org, admin) => {
    await org.roles.create(worker)
    await org.roles.create({ key: 'owner', name: 'Owner' })
    await org.roles.create({ key: 'admin', name: 'Admin' })
    const { userId } = await newMember(org, admin, 'owner')
    const { id } = await newMember(org, admin, 'worker')
    await org.apiKeys.create({ userId, name: 'key' })
    return id
  },
  calls: {
    ...reads('role', 'email', { heldRole: true, apiKeys: true }),
    sum: (all) => all.sum('authEpoch'),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ role: { prefix: 'work' } }),
      await listEveryWay(all, ['status', '-displayName']),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ role: 'worker' }),
    exists: (all, id) => all.exists({ id }),
    findByUser: async (all, id) => all.findByUser((await all.find(id))?.userId ?? newId()),
    findByEmail: async (all, id) => all.findByEmail((await all.find(id))?.email ?? 'nobody@example.com'),
    add: async (all) => {
      const { id, userId } = await all.addService({ name: 'bot', role: 'worker' })
      await all.remove(id)
      return all.add({ userId, email: 'bot@example.com', role: 'worker' })
    },
    addService: (all) => all.addService({ name: 'bot', role: 'worker' }),
    update: (all, id) => all.update(id, { displayName: 'Taken' }),
    changeRole: (all, id) => all.changeRole(id, 'admin'),
    deactivate: (all, id) => all.deactivate(id),
    reactivate: (all, id) => all.reactivate(id),
    remove: (all, id) => all.remove(id),
    transferOwnership: async (all, id) =>
      all.transferOwnership(id, { from: (await all.list({ role: 'owner' })).items[0]?.id ?? newId() }),
  },
  prepare: {
    reactivate: (org, id) => org.members.deactivate(id),
  },
} satisfies ContractCase<ManagedMembers>

export const rolesCase = {
  repository: ManagedRoles,
  tables: [roles, rolePermissions],
  make: async (org) => {
    await org.roles.create({ key: 'other', name: 'Other' })
    return (await org.roles.create(worker)).id
  },
  calls: {
    ...reads('appliesTo', 'key', { members: true }),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ key: { prefix: 'work' } }),
      await listEveryWay(all, ['-description', 'key']),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ key: 'worker' }),
    exists: (all, id) => all.exists({ id }),
    findByKey: (all) => all.findByKey('worker'),
    permissionsOf: (all) => all.permissionsOf('worker'),
    create: (all) => all.create({ key: 'second', name: 'Second', permissions: ['agents:read'] }),
    update: (all) => all.update('worker', { name: 'Taken' }),
    grant: (all) => all.grant('worker', 'agents:write'),
    revoke: (all) => all.revoke('worker', 'agents:read'),
    delete: (all) => all.delete('worker'),
  },
} satisfies ContractCase<ManagedRoles>

export const apiKeysCase = {
  repository: ManagedApiKeys,
  tables: [roles, rolePermissions, organizationMembers, apiKeys],
  make: async (org) => {
    await org.roles.create(worker)
    const { userId } = await org.members.addService({ name: 'bot', role: 'worker' })
    await org.apiKeys.create({ userId, name: 'other' })
    return (await org.apiKeys.create({ userId, name: 'key', scopes: ['agents:read'] })).apiKey.id
  },
  calls: {
    ...reads('status', 'name', { member: true, predecessor: true }),
    sum: (all) => all.sum('authEpoch'),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ name: { prefix: 'ke' } }),
      await listEveryWay(all, ['-lastUsedAt', 'name']),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ name: 'key' }),
    exists: (all, id) => all.exists({ id }),
    create: async (all, id) => all.create({ userId: (await all.find(id))?.userId ?? newId(), name: 'second' }),
    update: (all, id) => all.update(id, { name: 'Taken' }),
    rotate: (all, id) => all.rotate(id),
    revoke: (all, id) => all.revoke(id),
    delete: (all, id) => all.delete(id),
  },
} satisfies ContractCase<ManagedApiKeys>

export const invitationsCase = {
  repository: ManagedInvitations,
  tables: [roles, organizationInvitations],
  make: async (org) => {
    await org.roles.create(worker)
    await org.invitations.create({ email: 'eve@example.com', role: 'worker' })
    return (await org.invitations.create({ email: 'ada@example.com', role: 'worker' })).invitation.id
  },
  calls: {
    ...reads('role', 'email'),
    sum: (all) => all.sum('sentCount'),
    list: async (all, id) => [
      await all.list({ id }),
      await all.list({ email: { prefix: 'ada@' } }),
      await listEveryWay(all, ['acceptedAt', 'email']),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ email: 'ada@example.com' }),
    exists: (all, id) => all.exists({ id }),
    create: (all) => all.create({ email: 'ada@example.com', role: 'worker' }),
    resend: (all, id) => all.resend(id),
    revoke: (all, id) => all.revoke(id),
  },
} satisfies ContractCase<ManagedInvitations>
