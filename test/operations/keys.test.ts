import { describe, expect, onTestFinished, test } from 'vitest'
import { ConflictError, DecryptError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { openTenancy } from '../../src/tenancy.js'
import { waitersFor } from '../support/contenders.js'
import { killedRotation } from '../support/killed-rotation.js'
import { keys } from '../support/use-teams.js'
import { SealedDatabases, useVault, Vault } from '../support/use-vault.js'

const vaults = useVault()
const { teams } = vaults
const admin = <Row extends object>(text: string, values: unknown[] = []) =>
  teams.database.admin.query<Row>(text, values)
const system = () => teams.system().keys
const newVault = () => vaults.newVault()

interface KeyRow {
  readonly id: string
  readonly state: string
  readonly hasBytes: boolean
}

const keysOf = (orgId: string) =>
  admin<KeyRow>(
    'select id, state, wrapped is not null as "hasBytes" from platform.org_keys where org_id = $1 order by created_at, id',
    [orgId],
  )

/** The keys that the organization's cells name. */
const keysInCells = (orgId: string) =>
  admin<{ key: string; cells: number }>(
    `select encode(substring(cell from 3 for 16), 'hex')::uuid::text as key, count(*)::int as cells from (
       select unnest(array[anon_key, service_role_key, jwt_secret]) as cell from platform.credentials where org_id = $1
       union all select connection_string from platform.databases where org_id = $1
       union all select database_password from platform.projects where org_id = $1
     ) all_of_them where cell is not null group by 1 order by 1`,
    [orgId],
  )

const operations = (orgId: string) =>
  admin<{ operation: string }>(
    `select operation from platform.system_audit_logs where target_org_id = $1 and operation like 'keys.%' order by created_at, id`,
    [orgId],
  ).then((rows) => rows.map(({ operation }) => operation))

/** More cells than one batch takes. */
async function manyCells(count: number) {
  const vault = await newVault()
  const sealed = vault.org.repository(SealedDatabases)
  const made = await sealed.createMany(
    Array.from({ length: count }, (_, index) => ({
      projectId: vault.projectIds[0],
      name: `d${index}`,
      type: 'redis',
      connectionString: `secret ${index}`,
    })),
  )
  return { ...vault, sealed, ids: made.map(({ id }) => id) }
}

test('provision makes a key, and ensure one for each organization without', async () => {
  const { id } = await teams.newTeam()
  expect(await keysOf(id)).toMatchObject([{ state: 'active', hasBytes: true }])
  const bare = await createOrganization(teams.database.admin)
  expect(await system().ensure()).toEqual({ made: 1, isComplete: true })
  expect(await keysOf(bare)).toMatchObject([{ state: 'active', hasBytes: true }])
  expect(await operations(bare)).toEqual(['keys.ensure'])
  expect(await system().ensure()).toEqual({ made: 0, isComplete: true })
  expect(await keysOf(id)).toHaveLength(1)
  const org = teams.tenancy.forOrg(bare)
  const project = await org.projects.create({ name: 'One', slug: 'one' })
  await org.projects.credentials.setDatabasePassword(project.id, 'x')
  expect((await org.projects.credentials.revealDatabasePassword(project.id))?.reveal()).toBe('x')
})

test('20 calls of ensure make one key', async () => {
  const bare = await createOrganization(teams.database.admin)
  await Promise.all(Array.from({ length: 20 }, () => system().ensure()))
  expect(await keysOf(bare)).toHaveLength(1)
})

describe('rotate', () => {
  test('seals everything again, deleted rows too, and destroys the older key', async () => {
    const { team, org, vault, row, secrets, projectIds, sealed, ids } = await manyCells(450)
    await org.projects.credentials.setDatabasePassword(projectIds[1], 'password')
    await org.projects.delete(projectIds[1])
    const other = await newVault()
    const before = await keysOf(other.team.id)
    const [{ id: old } = { id: '' }] = await keysOf(team.id)
    const rotated = await system().rotate(team.id)
    expect(rotated).toMatchObject({
      organizations: 1,
      rows: 452,
      destroyed: 1,
      left: 0,
      isComplete: true,
      isResumed: false,
    })
    const [first, second] = await keysOf(team.id)
    expect(first).toEqual({ id: old, state: 'destroyed', hasBytes: false })
    expect(second).toMatchObject({ state: 'active', hasBytes: true })
    expect(await keysInCells(team.id)).toEqual([{ key: second?.id, cells: 454 }])
    expect((await vault.reveal(row.id)).jwtSecret?.reveal()).toBe(secrets.jwtSecret)
    expect((await sealed.reveal(ids[449] ?? '')).connectionString?.reveal()).toBe('secret 449')
    await org.projects.restore(projectIds[1])
    expect((await org.projects.credentials.revealDatabasePassword(projectIds[1]))?.reveal()).toBe('password')
    expect(await keysOf(other.team.id)).toEqual(before)
    expect(await operations(team.id)).toEqual(['keys.rotate', 'keys.activate', 'keys.destroyUnused', 'keys.rotated'])
    // Neither the row's revision nor its time changes: nobody has changed it.
    expect(await vault.get(row.id)).toEqual(row)
  })

  test('of every organization gives each a new key once', async () => {
    const all = [await newVault(), await newVault()]
    const rotated = await system().rotate()
    expect(rotated.isComplete).toBe(true)
    for (const { team, vault, row } of all) {
      expect((await keysOf(team.id)).map(({ state }) => state)).toEqual(['destroyed', 'active'])
      expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
    }
  })

  test('that was stopped goes on where it was, and makes no third key', async () => {
    const { team, vault, row } = await manyCells(450)
    const stop = new AbortController()
    let batches = 0
    const first = await system().rotate(team.id, {
      signal: stop.signal,
      onProgress: () => {
        batches += 1
        if (batches === 2) stop.abort()
      },
    })
    expect(first).toMatchObject({ isComplete: false, destroyed: 0 })
    expect((await keysOf(team.id)).map(({ state }) => state)).toEqual(['decrypt_only', 'active'])
    // Both keys open meanwhile.
    expect(await keysInCells(team.id)).toHaveLength(2)
    expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
    expect(await system().rotate(team.id)).toMatchObject({
      isResumed: true,
      isComplete: true,
      destroyed: 1,
      since: first.since,
    })
    expect((await keysOf(team.id)).map(({ state }) => state)).toEqual(['destroyed', 'active'])
    expect(await system().rotate(team.id)).toMatchObject({ isResumed: false, destroyed: 1 })
    expect(await keysOf(team.id)).toHaveLength(3)
  })

  test('begins anew where one that was stopped is long over', async () => {
    const { team } = await manyCells(250)
    const stop = new AbortController()
    const onProgress = () => {
      stop.abort()
    }
    expect(await system().rotate(team.id, { signal: stop.signal, onProgress })).toMatchObject({ isComplete: false })
    expect(await system().rotate()).toMatchObject({ isComplete: true, left: 0 })
    expect(await system().rotate(team.id)).toMatchObject({ isResumed: false, destroyed: 1 })
    // Killed when all was done, before it was recorded.
    await admin(
      `delete from platform.system_audit_logs where target_org_id = $1 and operation = 'keys.rotated'
       or target_org_id is null and operation = 'keys.rotated'`,
      [team.id],
    )
    expect(await system().rotate(team.id)).toMatchObject({ isResumed: false, destroyed: 1 })
    expect((await keysOf(team.id)).map(({ state }) => state).filter((state) => state !== 'destroyed')).toEqual([
      'active',
    ])
  })

  test('is in the audit log of the organization, without the wrapped keys', async () => {
    const bare = await createOrganization(teams.database.admin)
    const changes = () =>
      admin<{ event_type: string; changes: object }>(
        `select event_type, changes from platform.audit_logs where org_id = $1 and resource_type = 'org_keys' order by created_at, id`,
        [bare],
      )
    await system().ensure()
    await system().rotate(bare)
    await system().destroy(bare)
    const entries = await changes()
    expect(entries.map(({ event_type }) => event_type)).toEqual([
      'org_keys.create',
      'org_keys.supersede',
      'org_keys.create',
      'org_keys.destroy',
      'org_keys.destroy',
    ])
    expect(entries[1]?.changes).toEqual({ state: { old: 'active', new: 'decrypt_only' } })
    expect(JSON.stringify(entries)).not.toContain('wrapped')
  })

  test('keeps a key that a value still names: one that does not open, and one of a table or a column that this build does not know', async () => {
    const { team, org, projectIds, vault, row } = await newVault()
    const { id: other } = await org.repository(SealedDatabases).create({
      projectId: projectIds[1],
      name: 'other',
      type: 'redis',
      connectionString: 'secret',
    })
    await admin(
      `update platform.databases set connection_string = set_byte(connection_string, 40, get_byte(connection_string, 40) # 1)
       where id = $1`,
      [other],
    )
    await admin(
      `update platform.credentials set anon_key = set_byte(anon_key, 40, get_byte(anon_key, 40) # 1) where id = $1`,
      [row.id],
    )
    onTestFinished(async () => {
      await admin('drop schema if exists later cascade')
      await admin('alter table platform.agents drop column if exists pin')
    })
    await admin('create schema later')
    await admin('create table later.vault (org_id uuid, secret bytea)')
    await admin('grant usage on schema later to tenantry_system')
    await admin('grant select on later.vault to tenantry_system')
    await admin('insert into later.vault select org_id, jwt_secret from platform.credentials where id = $1', [row.id])
    await admin('alter table platform.agents add column pin bytea')
    await admin(
      `insert into platform.agents (org_id, id, name, username, pin)
       select org_id, gen_random_uuid(), 'Ada', 'ada', jwt_secret from platform.credentials where id = $1`,
      [row.id],
    )
    expect(await system().rotate(team.id)).toMatchObject({ rows: 1, destroyed: 0, left: 4, isComplete: true })
    expect((await keysOf(team.id)).map(({ state }) => state)).toEqual(['decrypt_only', 'active'])
    await expect(vault.reveal(row.id)).rejects.toThrow(DecryptError)
    await vault.replace(row.id, { anonKey: 'new' })
    await admin('drop schema later cascade')
    await admin('alter table platform.agents drop column pin')
    await admin('delete from platform.databases where id = $1', [other])
    expect(await system().rotate(team.id)).toMatchObject({ destroyed: 2, left: 0 })
  })

  test('stops at a key that this process cannot open, and leaves it active', async () => {
    const { team, vault, row } = await newVault()
    const before = await keysOf(team.id)
    const { appUrl: url, systemUrl } = teams.database
    const other = await openTenancy({ url, systemUrl, keys: `other:${Buffer.alloc(32, 8).toString('base64')}` })
    try {
      const rotating = other.system({ actor: 'test', reason: 'a test' }).keys.rotate(team.id)
      await expect(rotating).rejects.toThrow('the master key test, and this process has other')
      expect(await keysOf(team.id)).toEqual(before)
      await vault.replace(row.id, { anonKey: 'still sealed' })
      expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('still sealed')
    } finally {
      await other.close()
    }
  })

  test('waits for a transaction that has sealed and not ended, and seals again what it wrote', async () => {
    const { team, org, vault, row } = await newVault()
    let rotating: Promise<unknown> = Promise.resolve()
    await org.transaction(async (inner) => {
      await inner.repository(Vault).replace(row.id, { anonKey: 'slow' })
      rotating = system().rotate(team.id)
      await waitersFor(teams.database.admin, '%organizations where id%for update%', 1)
    })
    expect(await rotating).toMatchObject({ destroyed: 1, left: 0 })
    expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('slow')
  })

  // Ten thousand writes and reads with TENANTRY_ALL=1, which takes minutes.
  test('K03: under load nothing is lost, and every read opens', { timeout: 1_800_000 }, async () => {
    const enough = process.env.TENANTRY_ALL === '1' ? 5_000 : 20
    const { team, ids } = await manyCells(60)
    const written = new Map<string, string>()
    let isOver = false
    let reads = 0
    const worker = async (first: number, tenancy: typeof vaults.second) => {
      const sealed = tenancy.forOrg(team.id).repository(SealedDatabases)
      for (let turn = 0; !isOver; turn++) {
        const id = ids[(first + turn * 4) % ids.length] ?? ''
        const secret = `${first} ${turn}`
        await sealed.replace(id, secret)
        written.set(id, secret)
        expect((await sealed.reveal(id)).connectionString?.reveal()).toBe(secret)
        reads += 1
      }
    }
    const workers = [0, 1, 2, 3].map((first) =>
      worker(first, first % 2 === 0 ? vaults.second : teams.tenancy).finally(() => (isOver = true)),
    )
    const rotations = async () => {
      let done = 0
      for (; !isOver && (done < 6 || reads < enough); done++) expect((await system().rotate(team.id)).left).toBe(0)
      isOver = true
      return done
    }
    const [rotated] = await Promise.all([rotations(), ...workers])
    const sealed = teams.tenancy.forOrg(team.id).repository(SealedDatabases)
    for (const [id, secret] of written) expect((await sealed.reveal(id)).connectionString?.reveal()).toBe(secret)
    const states = (await keysOf(team.id)).map(({ state }) => state)
    expect(states).toEqual([...Array.from({ length: rotated }, () => 'destroyed'), 'active'])
  })

  // A process of its own is started and killed.
  test.each([0, 1, 2, 3])('killed at batch %s is finished by the next run', { timeout: 60_000 }, async (moment) => {
    const { team, sealed, ids } = await manyCells(450)
    await killedRotation(teams.database, { keys, what: team.id, moment })
    const states = (await keysOf(team.id)).map(({ state }) => state)
    expect(states).toEqual(['decrypt_only', 'active'])
    expect(await system().rotate(team.id)).toMatchObject({ isResumed: true, left: 0, destroyed: 1 })
    expect((await keysOf(team.id)).map(({ state }) => state)).toEqual(['destroyed', 'active'])
    expect(await keysInCells(team.id)).toHaveLength(1)
    for (const index of [0, 199, 200, 449])
      expect((await sealed.reveal(ids[index] ?? '')).connectionString?.reveal()).toBe(`secret ${index}`)
  })
})

test('K04: a destroyed key opens nothing at once, in every process, and other organizations are untouched', async () => {
  const [ours, theirs] = [await newVault(), await newVault()]
  const elsewhere = vaults.second.forOrg(ours.team.id).repository(Vault)
  await elsewhere.reveal(ours.row.id)
  await elsewhere.replace(ours.row.id, { anonKey: 'kept in memory' })
  const keys = teams.tenancy.system({ actor: 'ada', reason: 'the customer asked for it' }).keys
  expect(await keys.destroy(ours.team.id)).toBe(1)
  await expect(elsewhere.reveal(ours.row.id)).rejects.toThrow(DecryptError)
  await expect(ours.vault.reveal(ours.row.id)).rejects.toThrow(DecryptError)
  const refused = await elsewhere.replace(ours.row.id, { anonKey: 'x' }).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(ConflictError)
  expect(String(refused)).toContain('run `tenantry keys ensure`')
  expect((await theirs.vault.reveal(theirs.row.id)).anonKey?.reveal()).toBe('anon-marker')
  expect(await keysOf(ours.team.id)).toMatchObject([{ state: 'destroyed', hasBytes: false }])
  const [entry] = await admin(
    `select actor, reason, metadata from platform.system_audit_logs where target_org_id = $1 and operation = 'keys.destroy'`,
    [ours.team.id],
  )
  expect(entry).toEqual({ actor: 'ada', reason: 'the customer asked for it', metadata: { keys: 1 } })
  await expect(keys.destroy(newId())).rejects.toThrow(NotFoundError)
})
