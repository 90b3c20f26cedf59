import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import {
  BrokenReferenceError,
  ConflictError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { Secret } from '../../src/schema/shared/secret.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const secrets = { anonKey: 'anon', serviceRoleKey: new Secret('role'), jwtSecret: 'jwt' }

async function newProject() {
  const team = await teams.newTeam()
  const { id } = await team.org.projects.create({ name: 'One', slug: 'one' })
  return { team, org: team.org, id, keys: team.org.projects.credentials }
}

test('keeps a project’s keys, and reveals them', async () => {
  const { keys, id } = await newProject()
  expect(await keys.find(id)).toBeUndefined()
  await expect(keys.get(id)).rejects.toThrow(NotFoundError)
  await expect(keys.reveal(id)).rejects.toThrow(NotFoundError)
  const made = await keys.create(id, secrets)
  expect(made).toMatchObject({ projectId: id, rotatedAt: null })
  expect(await keys.get(id)).toEqual(made)
  const revealed = await keys.reveal(id)
  expect([revealed.anonKey?.reveal(), revealed.serviceRoleKey?.reveal(), revealed.jwtSecret?.reveal()]).toEqual([
    'anon',
    'role',
    'jwt',
  ])
  expect(inspect({ made, revealed })).not.toMatch(/'(anon|role|jwt)'/)
  expect(Object.keys(await keys.reveal(id, ['jwtSecret']))).toEqual(['jwtSecret'])
})

test('a project has one set of keys, and an unknown project has none', async () => {
  const { keys, id } = await newProject()
  await keys.create(id, secrets)
  await expect(keys.create(id, secrets)).rejects.toThrow(ConflictError)
  await expect(keys.create(newId(), secrets)).rejects.toThrow(BrokenReferenceError)
  await expect(keys.create(id, { anonKey: 'only' } as never)).rejects.toThrow(InvalidInputError)
})

test('a rotation replaces the given keys alone, and notes when', async () => {
  const { keys, id } = await newProject()
  await keys.create(id, secrets)
  const rotated = await keys.rotate(id, { anonKey: 'new' })
  expect(rotated.rotatedAt).toBeInstanceOf(Date)
  const revealed = await keys.reveal(id)
  expect([revealed.anonKey?.reveal(), revealed.jwtSecret?.reveal()]).toEqual(['new', 'jwt'])
  await expect(keys.rotate(id, {})).rejects.toThrow('there is no key to replace')
  await expect(keys.rotate(newId(), { anonKey: 'new' })).rejects.toThrow(NotFoundError)
})

test('the keys of a deleted project are hidden, and come back with it', async () => {
  const { org, keys, id } = await newProject()
  await keys.create(id, secrets)
  await org.projects.delete(id)
  expect(await keys.find(id)).toBeUndefined()
  await expect(keys.reveal(id)).rejects.toThrow(NotFoundError)
  await expect(keys.rotate(id, { anonKey: 'new' })).rejects.toThrow(NotFoundError)
  await org.projects.restore(id)
  expect((await keys.reveal(id)).anonKey?.reveal()).toBe('anon')
})

test('a database password is stored encrypted', async () => {
  const { org, keys, id } = await newProject()
  expect(await keys.revealDatabasePassword(id)).toBeUndefined()
  expect(await keys.setDatabasePassword(id, 'marker')).not.toHaveProperty('databasePassword')
  expect(await org.projects.get(id)).not.toHaveProperty('databasePassword')
  expect((await keys.revealDatabasePassword(id))?.reveal()).toBe('marker')
  await expect(keys.revealDatabasePassword(newId())).rejects.toThrow(NotFoundError)
  await expect(keys.setDatabasePassword(id, '')).rejects.toThrow(InvalidInputError)
})

test('a role in the project counts, and revealing needs a permission of its own', async () => {
  const { team, org, keys, id } = await newProject()
  await keys.create(id, secrets)
  await keys.setDatabasePassword(id, 'password')
  const other = await org.projects.create({ name: 'Two', slug: 'two' })
  await keys.create(other.id, secrets)
  const [reader, builder] = [await team.join('read_only'), await team.join('customer')]
  await org.projects.members.add(id, { userId: builder.userId, role: 'developer' })
  const reading = (await team.as(reader.userId)).projects.credentials
  expect(await reading.get(id)).toMatchObject({ projectId: id })
  await expect(reading.reveal(id)).rejects.toMatchObject({ code: 'forbidden', permission: 'credentials:reveal' })
  await expect(reading.revealDatabasePassword(id)).rejects.toThrow(ForbiddenError)
  await expect(reading.rotate(id, { anonKey: 'x' })).rejects.toThrow(ForbiddenError)
  const building = (await team.as(builder.userId)).projects.credentials
  expect((await building.reveal(id)).anonKey?.reveal()).toBe('anon')
  expect((await building.revealDatabasePassword(id))?.reveal()).toBe('password')
  await building.rotate(id, { anonKey: 'by the builder' })
  for (const call of [
    () => building.reveal(other.id),
    () => building.get(other.id),
    () => building.rotate(other.id, { anonKey: 'x' }),
  ])
    await expect(call()).rejects.toThrow(ForbiddenError)
})
