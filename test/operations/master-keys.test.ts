import { describe, expect, onTestFinished, test } from 'vitest'
import { ConflictError, DecryptError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { KeyProvider } from '../../src/core/sealing.js'
import type { OnQuery } from '../../src/core/tracing.js'
import { memoryKeyProvider } from '../../src/encryption/key-providers.js'
import { openTenancy } from '../../src/tenancy.js'
import { addOlderKeys, killedRotation } from '../support/killed-rotation.js'
import { keys, newKey } from '../support/use-teams.js'
import { useVault, Vault } from '../support/use-vault.js'

const vaults = useVault()
const { teams } = vaults
const admin = <Row extends object>(text: string, values: unknown[] = []) =>
  teams.database.admin.query<Row>(text, values)
const system = () => teams.system().keys
const newVault = () => vaults.newVault()

describe('the master key', () => {
  const both = `new:${Buffer.alloc(32, 9).toString('base64')},${keys}`

  /** Wraps every data key with the first master key again, for the other tests of this file. */
  async function rewrapBack(): Promise<void> {
    const { appUrl: url, systemUrl } = teams.database
    const back = await openTenancy({ url, systemUrl, keys: [...both.split(',')].reverse().join() })
    try {
      const rewrapped = await back.system({ actor: 'test', reason: 'a test' }).keys.rewrap()
      expect(rewrapped).toMatchObject({ left: 0, isComplete: true })
    } finally {
      await back.close()
    }
  }

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
      expect(await next.rewrap()).toEqual({ keys: wrapped, left: 0, isComplete: true })
      expect(await next.rewrap()).toEqual({ keys: 0, left: 0, isComplete: true })
      expect(await cell()).toEqual(before)
      for (const one of [tenancy, only])
        expect((await one.forOrg(team.id).repository(Vault).reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
      await expect(vault.reveal(row.id)).rejects.toThrow(DecryptError)
      // A process without the other key opens none of them.
      expect(await teams.system().keys.rewrap()).toEqual({ keys: 0, left: wrapped, isComplete: true })
      expect(
        await admin(`select from platform.audit_logs where org_id = $1 and event_type = 'org_keys.rewrap'`, [team.id]),
      ).toHaveLength(1)
    } finally {
      await Promise.all([tenancy.close(), only.close()])
      await rewrapBack()
    }
  })

  // A process of its own is started and killed.
  test('is replaced by the next run where one was killed between two batches', { timeout: 60_000 }, async () => {
    const [one, other] = [await newVault(), await newVault()]
    for (const { team } of [one, other]) await addOlderKeys(teams.database, { keys, orgId: team.id, count: 90 })
    await killedRotation(teams.database, { keys: both, what: 'master', moment: 0 })
    const { appUrl: url, systemUrl } = teams.database
    const tenancy = await openTenancy({ url, systemUrl, keys: both })
    onTestFinished(async () => {
      await tenancy.close()
      await admin(`delete from platform.org_keys where org_id in ($1, $2) and state = 'decrypt_only'`, [
        one.team.id,
        other.team.id,
      ])
      await rewrapBack()
    })
    const next = tenancy.system({ actor: 'test', reason: 'a test' }).keys
    const dataKeys = async () => Object.fromEntries((await next.status()).map(({ id, dataKeys }) => [id, dataKeys]))
    const { new: before, test: left } = await dataKeys()
    expect(before).toBe(100)
    const progress: unknown[] = []
    const onProgress = (one: unknown) => void progress.push(one)
    expect(await next.rewrap({ onProgress })).toEqual({ keys: left, left: 0, isComplete: true })
    expect(progress).toEqual([{ done: left, total: left }])
    expect(await dataKeys()).toEqual({ new: 100 + Number(left), test: 0 })
    for (const { team, row } of [one, other])
      expect((await tenancy.forOrg(team.id).repository(Vault).reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
  })

  test('tells why it stopped, also where that cannot be recorded', async () => {
    const { team, row } = await newVault()
    const { appUrl: url, systemUrl } = teams.database
    const tenancy = await openTenancy({ url, systemUrl, keys: both })
    const back = await openTenancy({ url, systemUrl, keys: [...both.split(',')].reverse().join() })
    onTestFinished(async () => {
      await Promise.all([tenancy.close(), back.close()])
    })
    const onProgress = async () => {
      await tenancy.close()
      throw new Error('stop')
    }
    const { keys } = tenancy.system({ actor: 'test', reason: 'a test' })
    await expect(keys.rewrap({ onProgress })).rejects.toThrow('stop')
    // Back, for the other tests of this file.
    await back.system({ actor: 'test', reason: 'a test' }).keys.rewrap()
    expect((await teams.tenancy.forOrg(team.id).repository(Vault).reveal(row.id)).anonKey?.reveal()).toBe('anon-marker')
  })

  test('is replaced around a key that does not open, and what was wrapped is recorded when it throws', async () => {
    const [broken, sound] = [await newVault(), await newVault()]
    const flip = () =>
      admin(
        'update platform.org_keys set wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1) where org_id = $1',
        [broken.team.id],
      )
    const { appUrl: url, systemUrl } = teams.database
    const tenancy = await openTenancy({ url, systemUrl, keys: both })
    await flip()
    let isFlipped = true
    try {
      const reason = newId()
      const next = tenancy.system({ actor: 'test', reason }).keys
      const onProgress = () => {
        throw new Error('stop')
      }
      await expect(next.rewrap({ onProgress })).rejects.toThrow('stop')
      expect(await admin('select metadata from platform.system_audit_logs where reason = $1', [reason])).toMatchObject([
        { metadata: { left: 1 } },
      ])
      expect(await next.rewrap()).toMatchObject({ left: 1, isComplete: true })
      expect((await tenancy.forOrg(sound.team.id).repository(Vault).reveal(sound.row.id)).anonKey?.reveal()).toBe(
        'anon-marker',
      )
      await flip()
      isFlipped = false
      expect(await next.rewrap()).toEqual({ keys: 1, left: 0, isComplete: true })
    } finally {
      if (isFlipped) await flip()
      await tenancy.close()
      await rewrapBack()
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
    // Of sessions and invitations: no organization has API keys of it.
    expect(statements.slice(before).filter((text) => /update "?platform"?\./.test(text))).toHaveLength(2)
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
