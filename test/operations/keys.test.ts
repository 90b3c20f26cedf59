import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { ConflictError, DecryptError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { memoryKeyProvider } from '../../src/encryption/key-providers.js'
import type { KeyProvider } from '../../src/core/sealing.js'
import type { OnQuery } from '../../src/core/tracing.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { openTenancy } from '../../src/tenancy.js'
import { compiled } from '../support/compiled.js'
import { keys, newKey } from '../support/use-teams.js'
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

  test('keeps a key that a value still names: one that does not open, and one of a table that this build does not know', async () => {
    const { team, vault, row } = await newVault()
    await admin(
      `update platform.credentials set anon_key = set_byte(anon_key, 40, get_byte(anon_key, 40) # 1) where id = $1`,
      [row.id],
    )
    await admin('create schema later')
    await admin('create table later.vault (org_id uuid, secret bytea)')
    await admin('grant usage on schema later to tenantry_system')
    await admin('grant select on later.vault to tenantry_system')
    await admin('insert into later.vault select org_id, jwt_secret from platform.credentials where id = $1', [row.id])
    expect(await system().rotate(team.id)).toMatchObject({ destroyed: 0, left: 2, isComplete: true })
    expect((await keysOf(team.id)).map(({ state }) => state)).toEqual(['decrypt_only', 'active'])
    await expect(vault.reveal(row.id)).rejects.toThrow(DecryptError)
    await vault.replace(row.id, { anonKey: 'new' })
    await admin('drop schema later cascade')
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
    const waiting = () =>
      admin(
        `select from pg_locks l join pg_stat_activity a using (pid)
         where not l.granted and l.locktype = 'transactionid' and a.datname = current_database()`,
      )
    await org.transaction(async (inner) => {
      await inner.repository(Vault).replace(row.id, { anonKey: 'slow' })
      rotating = system().rotate(team.id)
      await expect.poll(waiting, { interval: 5, timeout: 20_000 }).toHaveLength(1)
    })
    expect(await rotating).toMatchObject({ destroyed: 1, left: 0 })
    expect((await vault.reveal(row.id)).anonKey?.reveal()).toBe('slow')
  })

  test('K03: under load nothing is lost, and every read opens', async () => {
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
    const workers = [0, 1, 2, 3].map((first) => worker(first, first % 2 === 0 ? vaults.second : teams.tenancy))
    const rotations = async () => {
      for (let time = 0; time < 6; time++) expect((await system().rotate(team.id)).left).toBe(0)
      isOver = true
    }
    await Promise.all([rotations(), ...workers])
    expect(reads).toBeGreaterThan(20)
    const sealed = teams.tenancy.forOrg(team.id).repository(SealedDatabases)
    for (const [id, secret] of written) expect((await sealed.reveal(id)).connectionString?.reveal()).toBe(secret)
    const states = (await keysOf(team.id)).map(({ state }) => state)
    expect(states).toEqual([...Array.from({ length: 6 }, () => 'destroyed'), 'active'])
  })

  // A process of its own is started and killed.
  test.each([0, 1, 2, 3])('killed at batch %s is finished by the next run', { timeout: 60_000 }, async (moment) => {
    const { team, sealed, ids } = await manyCells(450)
    const program = compiled('test/operations/interrupted-rotation.js')
    const { appUrl, systemUrl } = teams.database
    const child = spawn(process.execPath, [program, appUrl, systemUrl, keys, team.id, String(moment)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'close')
    const isStopped = once(child.stdout, 'data').then(() => true)
    expect(await Promise.race([isStopped, ended.then(() => false)])).toBe(true)
    child.kill('SIGKILL')
    await ended
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
  await expect(elsewhere.replace(ours.row.id, { anonKey: 'x' })).rejects.toThrow('run `tenantry keys ensure`')
  expect((await theirs.vault.reveal(theirs.row.id)).anonKey?.reveal()).toBe('anon-marker')
  expect(await keysOf(ours.team.id)).toMatchObject([{ state: 'destroyed', hasBytes: false }])
  const [entry] = await admin(
    `select actor, reason, metadata from platform.system_audit_logs where target_org_id = $1 and operation = 'keys.destroy'`,
    [ours.team.id],
  )
  expect(entry).toEqual({ actor: 'ada', reason: 'the customer asked for it', metadata: { keys: 1 } })
  await expect(keys.destroy(newId())).rejects.toThrow(NotFoundError)
})

describe('the master key', () => {
  const both = `new:${Buffer.alloc(32, 9).toString('base64')},${keys}`

  test('is replaced without sealing anything again', async () => {
    const { team, row, vault } = await newVault()
    const { appUrl: url, systemUrl } = teams.database
    const tenancy = await openTenancy({ url, systemUrl, keys: both })
    const only = await openTenancy({ url, systemUrl, keys: both.split(',')[0] })
    try {
      const cell = () => admin('select anon_key from platform.credentials where id = $1', [row.id])
      const before = await cell()
      const next = tenancy.system({ actor: 'test', reason: 'a test' }).keys
      await expect(only.forOrg(team.id).repository(Vault).reveal(row.id)).rejects.toThrow('the master key test')
      const wrapped = (await next.status()).find(({ id }) => id === 'test')?.dataKeys ?? 0
      expect(wrapped).toBeGreaterThan(0)
      expect(await next.rewrap()).toEqual({ keys: wrapped, isComplete: true })
      expect(await next.rewrap()).toEqual({ keys: 0, isComplete: true })
      expect(await cell()).toEqual(before)
      for (const one of [tenancy, only])
        expect((await one.forOrg(team.id).repository(Vault).reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
      await expect(vault.reveal(row.id)).rejects.toThrow(DecryptError)
      expect(
        await teams
          .system()
          .keys.rewrap()
          .catch((error: unknown) => error),
      ).toBeInstanceOf(DecryptError)
      // Back, for the other tests of this file.
      const back = await openTenancy({ url, systemUrl, keys: [...both.split(',')].reverse().join() })
      expect(await back.system({ actor: 'test', reason: 'a test' }).keys.rewrap()).toMatchObject({ isComplete: true })
      await back.close()
    } finally {
      await tenancy.close()
      await only.close()
    }
  })

  test('is counted and retired: refused while something needs it, unless that is dropped and listed', async () => {
    const team = await teams.newTeam()
    const { apiKey } = await newKey(team)
    await admin(`update platform.api_keys set pepper_id = 'old', last_used_at = now() where id = $1`, [apiKey.id])
    const { userId } = await team.join('member')
    const session = await teams.tenancy.forUser(userId).sessions.start({})
    await admin(`update platform.user_sessions set pepper_id = 'old' where user_id = $1`, [userId])
    const { invitation } = await team.org.invitations.create({ email: 'eve@old.example', role: 'member' })
    await admin(`update platform.organization_invitations set pepper_id = 'old' where org_id = $1`, [team.id])
    const [status] = (await system().status()).filter(({ id }) => id === 'old')
    expect(status).toMatchObject({
      id: 'old',
      isActive: false,
      isKnown: false,
      dataKeys: 0,
      apiKeys: 1,
      sessions: 1,
      invitations: 1,
      auditEntries: 0,
    })
    expect(status?.lastUsedAt).toBeInstanceOf(Date)
    await expect(system().retire('test')).rejects.toThrow('is an active master key')
    await expect(system().retire('nobody')).rejects.toThrow('there is no master key nobody')
    const refused = await system()
      .retire('old')
      .catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(ConflictError)
    expect(String(refused)).toContain('still needed by 1 API keys, 1 sessions and 1 invitations: wait until')
    const live = `select from platform.api_keys where pepper_id = 'old' and status = 'active'`
    expect(await admin(live)).toHaveLength(1)
    expect(await system().retire('old', { dropKeys: true })).toEqual({
      id: 'old',
      apiKeys: [{ orgId: team.id, id: apiKey.id, name: apiKey.name }],
      sessions: 1,
      invitations: 1,
      auditEntries: 0,
    })
    await expect(teams.tenancy.authenticateSession(session.token)).rejects.toThrow('not accepted')
    // The organization and the person see it in their own logs.
    const entries = await admin<{ event_type: string; resource_id: string }>(
      `select event_type, resource_id from platform.audit_logs
       where org_id = $1 and event_type in ('api_keys.revoke', 'organization_invitations.revoke') order by 1`,
      [team.id],
    )
    expect(entries).toEqual([
      { event_type: 'api_keys.revoke', resource_id: apiKey.id },
      { event_type: 'organization_invitations.revoke', resource_id: invitation.id },
    ])
    expect(
      await admin(
        `select session_id from platform.user_audit_logs where user_id = $1 and event_type = 'system.retireMasterKey'`,
        [userId],
      ),
    ).toEqual([{ session_id: session.session.id }])
    await admin(`update platform.org_keys set kek_id = 'old' where org_id = $1`, [team.id])
    await expect(system().retire('old', { dropKeys: true })).rejects.toThrow('1 data keys are wrapped by old')
  })

  test('that signed entries of an audit log is counted by the id in their hash', async () => {
    const team = await teams.newTeam()
    await admin(
      `insert into platform.audit_logs (org_id, id, event_type, seq, hash)
       values ($1, gen_random_uuid(), 'x', 1, '\\x06'::bytea || convert_to('signer', 'UTF8') || decode(repeat('ab', 32), 'hex'))`,
      [team.id],
    )
    expect((await system().status()).find(({ id }) => id === 'signer')?.auditEntries).toBe(1)
    // They never end, so they must not keep the key on the servers for good.
    const statements: string[] = []
    const onQuery: OnQuery = (event) => {
      if (event.kind === 'call') statements.push(...event.statements.map(({ text }) => text))
    }
    const watched = (await vaults.open({ onQuery })).system({ actor: 'test', reason: 'a test' }).keys
    expect(await watched.retire('signer')).toMatchObject({ auditEntries: 1, apiKeys: [] })
    // A token that is made while it counts is not ended either.
    expect(statements.filter((text) => /update "?platform"?\./.test(text))).toEqual([])
    const before = statements.length
    await watched.retire('signer', { dropKeys: true })
    expect(statements.slice(before).filter((text) => /update "?platform"?\./.test(text))).toHaveLength(3)
  })

  test('of the keyring and of a KeyProvider are both active, and neither is retired', async () => {
    const inner = memoryKeyProvider()
    const service: KeyProvider = { ...inner, activeId: 'service', ids: ['service', 'older'] }
    const keyring = teams.tenancy
    const { userId } = await (await teams.newTeam()).join('member')
    const { token } = await keyring.forUser(userId).sessions.start({})
    const other = (await vaults.open({ keyProvider: service })).system({ actor: 'test', reason: 'a test' }).keys
    const status = await other.status()
    expect(status.filter(({ isActive }) => isActive).map(({ id }) => id)).toEqual(['service', 'test'])
    expect(status.filter(({ isKnown }) => isKnown).map(({ id }) => id)).toEqual(['older', 'service', 'test'])
    for (const id of ['service', 'test'])
      await expect(other.retire(id, { dropKeys: true })).rejects.toThrow(`${id} is an active master key`)
    expect((await keyring.authenticateSession(token)).user.id).toBe(userId)
  })
})
