import { expect, test } from 'vitest'
import { ownPermissions, uncoveredTables } from '../../src/access/own-permissions.js'
import { DefinitionError } from '../../src/core/errors.js'
import { declare } from '../../src/declared.js'
import { builtInRoles } from '../../src/schema/built-in-roles.js'
import { deskPermissions, deskWith } from '../support/use-desk.js'
import { replies, tickets } from '../support/desk-schema.js'

test('owner and admin have all of the host’s permissions, and each role those that it is given', () => {
  const roles = { member: ['tickets:read', 'tickets:read'], customer: undefined }
  expect(ownPermissions({ permissions: deskPermissions, roles }, 'own.')).toEqual([
    { key: 'tickets:read', description: 'See tickets', roles: ['owner', 'admin', 'member'] },
    { key: 'tickets:write', description: 'Change tickets', roles: ['owner', 'admin'] },
  ])
  expect(ownPermissions({}, 'own.')).toEqual([])
})

test('every built-in role but owner and admin can be given one', () => {
  const named = builtInRoles.map(({ key }) => key).filter((key) => key !== 'owner' && key !== 'admin')
  const roles = Object.fromEntries(named.map((role) => [role, ['tickets:read']]))
  const [permission] = ownPermissions({ permissions: deskPermissions, roles }, 'own.')
  expect(permission?.roles).toEqual(['owner', 'admin', ...named])
})

test.for([
  [{ Tickets: 'See' }, {}, 'own.permissions: Tickets must be two words'],
  [{ 'Tickets:read': 'See' }, {}, 'own.permissions: Tickets:read must be two words'],
  [{ 'tickets:read:all': 'See' }, {}, 'own.permissions: tickets:read:all must be two words'],
  [{ '1:read': 'See' }, {}, 'own.permissions: 1:read must be two words'],
  [{ [`tickets:${'r'.repeat(100)}`]: 'See' }, {}, 'is longer than 100 characters'],
  [{ 'agents:read': 'See' }, {}, 'own.permissions: agents:read is a permission of the library'],
  [{ 'tickets:read': '' }, {}, 'own.permissions: tickets:read needs a description: is blank'],
  [{ 'tickets:read': 'a\0b' }, {}, 'own.permissions: tickets:read needs a description: contains NUL'],
  [{ 'tickets:read': 7 as never }, {}, 'own.permissions: tickets:read needs a description'],
  [deskPermissions, { members: ['tickets:read'] }, 'own.roles: members is not a built-in role: there are developer,'],
  [deskPermissions, { constructor: ['tickets:read'] }, 'own.roles: constructor is not a built-in role'],
  [deskPermissions, { owner: ['tickets:read'] }, 'own.roles: owner has all of your permissions'],
  [deskPermissions, { admin: [] }, 'own.roles: admin has all of your permissions'],
  [deskPermissions, { member: ['tickets:raed'] }, 'own.roles.member: tickets:raed is not in permissions'],
  [deskPermissions, { member: [Symbol('s') as never] }, 'own.roles.member: must be a list of permissions'],
  [deskPermissions, { member: ['agents:read'] }, 'own.roles.member: agents:read is a permission of the library'],
] as const)('refused by name: %j %j', ([permissions, roles, message]) => {
  const read = () => ownPermissions({ permissions, roles }, 'own.')
  expect(read).toThrow(DefinitionError)
  expect(read).toThrow(message)
})

test('a table of an organization is covered by its own name or the one that it declares', () => {
  const own = ownPermissions({ permissions: { 'tickets:read': 'See tickets' } }, 'own.')
  expect(uncoveredTables([tickets, replies], own)).toEqual([])
  const others = ownPermissions({ permissions: { 'replies:read': 'See replies' } }, 'own.')
  expect(uncoveredTables([tickets, replies], others)).toEqual([
    { table: 'desk.tickets', resource: 'tickets' },
    { table: 'desk.replies', resource: 'tickets' },
  ])
  // Without permissions of its own the host serves trusted code: only a declared resource is meant for actors.
  expect(uncoveredTables([tickets, replies], [])).toEqual([{ table: 'desk.replies', resource: 'tickets' }])
})

test('openTenancy refuses a table whose permissions are in no catalog, by its name', async () => {
  const own = await deskWith({ permissions: { 'notes:read': 'See notes' } })
  await expect(declare(own)).rejects.toThrow(DefinitionError)
  await expect(declare(own)).rejects.toThrow(
    /^own\.schema: a repository over desk\.tickets asks for tickets:read and tickets:write, and neither is a permission/,
  )
  await expect(declare(await deskWith({ permissions: deskPermissions }))).resolves.toBeDefined()
})
