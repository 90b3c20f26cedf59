import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { derivedKeys } from '../../src/encryption/keyring.js'
import { dropPartitions, partitionedTables } from '../../src/migrations/partitions.js'
import type { AuditHead } from '../../src/operations/audit-chains.js'
import { platformTables } from '../../src/schema/tables.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { keys } from '../support/use-teams.js'
import { firstFault, useAuditChains } from '../support/use-audit-chains.js'

const { teams, audit, sql, write, newLog, sealed } = useAuditChains()

describe('an anchor', () => {
  test('of an entry in the chain holds while the chain grows', async () => {
    const { org, head } = await sealed()
    expect(await audit().verify(org, { anchor: head })).toMatchObject({ isIntact: true, isAnchored: true })
    await write(org, 3)
    await audit().seal(org)
    expect(await audit().verify(org, { anchor: head })).toMatchObject({ isIntact: true, isAnchored: true, entries: 11 })
    expect((await audit().head(org))?.seq).toBe(11)
  })

  test('is not there before something was sealed, and is refused where it is none', async () => {
    const { id } = await newLog()
    expect(await audit().head(id)).toBeUndefined()
    const hash = '04'.repeat(37)
    for (const anchor of [
      { seq: 0, hash },
      { seq: 1, hash: 'x' },
      { seq: 1 },
      { seq: '1', hash },
      { seq: 1, hash, a: 1 },
    ])
      await expect(audit().verify(id, { anchor: anchor as AuditHead })).rejects.toThrow('anchor.')
    await expect(audit().verify(undefined, { anchor: { seq: 1, hash } })).rejects.toThrow('anchor: belongs to one')
    await expect(audit().verify('nobody')).rejects.toThrow('orgId: must be a UUID')
    await expect(audit().seal('nobody')).rejects.toThrow('orgId: must be a UUID')
    await expect(audit().seal(id, { limit: 0 })).rejects.toThrow('limit: ')
    await expect(audit().seal(id, { onProgress: 1 } as object)).rejects.toThrow('onProgress: must be a function')
  })
})

test('no logger prints the key of the chains', () => {
  const system = teams.system()
  const derived = derivedKeys({ keys: [{ id: 'test', secret: Buffer.alloc(32, 7) }] }, 'audit log')[0].secret
  const shown = inspect([system, system.audit, teams.tenancy], { depth: null, maxArrayLength: null })
  // Bytes are printed in columns. Tables of Drizzle refer to themselves, and have no JSON.
  const printed =
    shown.replace(/\s+/g, ' ') + JSON.stringify(system, (name, value: unknown) => (name === 'tables' ? [] : value))
  expect(printed).toContain('chainKeys')
  expect(printed).not.toContain(derived.slice(0, 5).join(', '))
  expect(printed).not.toContain(Buffer.from(derived).toString('hex'))
})

describe('another master key', () => {
  const ring = (...names: readonly [string, number][]) =>
    names.map(([name, byte]) => `${name}:${Buffer.alloc(32, byte).toString('base64')}`).join(',')
  const open = (keys: string) => openTenancy({ url: teams.database.appUrl, systemUrl: teams.database.systemUrl, keys })
  const auditOf = (tenancy: Tenancy) => tenancy.system({ actor: 'test', reason: 'a test' }).audit

  test('begins a segment, whose first entry covers the last head', async () => {
    const { org, ids } = await sealed(3)
    await write(org, 3)
    const renewed = await open(`${ring(['second-key_2', 9])},${keys}`)
    onTestFinished(() => renewed.close({ drain: 0 }))
    await auditOf(renewed).seal(org)
    expect(await auditOf(renewed).verify(org)).toMatchObject({ isIntact: true, entries: 6 })
    const hashes = await sql<{ key: string; follows: boolean }>(
      `select convert_from(substr(a.hash, 2, get_byte(a.hash, 0)), 'UTF8') as key, a.prev_hash = b.hash as follows
       from platform.audit_logs a join platform.audit_logs b on b.org_id = a.org_id and b.seq = a.seq - 1
       where a.org_id = $1 order by a.seq`,
      [org],
    )
    expect(hashes.map(({ key }) => key)).toEqual(['test', 'test', 'second-key_2', 'second-key_2', 'second-key_2'])
    expect(hashes.every(({ follows }) => follows)).toBe(true)
    // The old segment cannot be cut off in front of the new one.
    await sql('delete from platform.audit_logs where org_id = $1 and seq = 3', [org])
    expect(firstFault(await auditOf(renewed).verify(org))).toMatchObject({ fault: 'missing', seq: 3 })
    const without = await open(ring(['second-key_2', 9]))
    onTestFinished(() => without.close({ drain: 0 }))
    expect(firstFault(await auditOf(without).verify(org))).toEqual({ fault: 'unknown key', seq: 1, id: ids[0] })
  })
})

test('an organization that never was has no log to seal or to verify', async () => {
  const nobody = newId()
  await expect(audit().seal(nobody)).rejects.toThrow(NotFoundError)
  await expect(audit().verify(nobody)).rejects.toThrow(NotFoundError)
  await expect(audit().verify(undefined, { from: { orgId: nobody, seq: 0 } })).rejects.toThrow(NotFoundError)
  expect(await sql('select from platform.audit_seals where org_id = $1', [nobody])).toEqual([])
  const { org } = await sealed(2)
  await sql('delete from platform.organizations where id = $1', [org])
  await write(org, 1)
  expect(await audit().seal(org)).toMatchObject({ entries: 1 })
  expect(await audit().verify(org)).toMatchObject({ isIntact: true, entries: 3 })
})

describe('a verification', () => {
  test('that is stopped says where to go on', async () => {
    const { org } = await sealed(2500)
    const stop = new AbortController()
    const heard: number[] = []
    const stopped = await audit().verify(org, {
      signal: stop.signal,
      onProgress: ({ done, total }) => {
        heard.push(done, total)
        if (done === 2000) stop.abort()
      },
    })
    expect(heard).toEqual([1000, 2500, 2000, 2500])
    expect(stopped).toMatchObject({ isComplete: false, entries: 2000, next: { orgId: org, seq: 2000 } })
    const rest = await audit().verify(org, { from: stopped.next })
    expect(rest).toMatchObject({ isIntact: true, isComplete: true, entries: 501, next: undefined })
    await sql('delete from platform.audit_logs where org_id = $1 and seq = 2000', [org])
    expect(firstFault(await audit().verify(org, { from: stopped.next }))).toMatchObject({ fault: 'missing', seq: 2000 })
    const other = await sealed(1)
    await expect(audit().verify(other.org, { from: stopped.next })).rejects.toThrow('from: is of another organization')
    await expect(audit().verify(org, { from: { orgId: org, seq: 2501 } })).rejects.toThrow('from: is behind the head')
    const { id } = await newLog()
    await expect(audit().verify(id, { from: { orgId: id, seq: 1 } })).rejects.toThrow('from: is behind the head')
  })

  test('that is stopped before its first entry has verified no organization', async () => {
    const { org } = await sealed(2)
    const stopped = await audit().verify(org, { signal: AbortSignal.abort() })
    expect(stopped).toMatchObject({ organizations: 0, entries: 0, isComplete: false, next: { orgId: org, seq: 0 } })
  })

  test('verifies what is sealed meanwhile', async () => {
    const { org } = await sealed(1500)
    let more = 3
    const verified = await audit().verify(org, {
      onProgress: async () => {
        if (more-- <= 0) return
        await write(org, 10)
        await audit().seal(org)
      },
    })
    expect(verified).toMatchObject({ isIntact: true, entries: 1530 })
  })

  test('counts what is not sealed', async () => {
    const { org } = await sealed(2)
    await write(org, 4)
    expect(await audit().verify(org)).toMatchObject({ isIntact: true, entries: 2, unsealed: 4 })
  })

  test('is recorded with what it found', async () => {
    const { org, ids } = await sealed(2)
    await sql(`update platform.audit_logs set event_type = 'no' where org_id = $1 and seq = 1`, [org])
    await audit().verify(org)
    const [record] = await sql<{ metadata: object }>(
      `select metadata from platform.system_audit_logs where operation = 'audit.verify' and target_org_id = $1`,
      [org],
    )
    expect(record?.metadata).toMatchObject({
      isIntact: false,
      broken: [{ orgId: org, seq: 1, id: ids[0], fault: 'edited' }],
    })
  })
})

describe('a month that was dropped', () => {
  const drop = (before: string) =>
    dropPartitions(teams.database.admin, partitionedTables(platformTables, 'audit_logs'), { before })

  test('is a gap that is told, and the rest is verified', async () => {
    const { org, head } = await sealed(4)
    // One of the old month is sealed last, as one whose transaction ended late.
    await sql(
      `create table platform.audit_logs_2020_01 partition of platform.audit_logs
       for values from ('2020-01-01T00:00:00Z') to ('2020-02-01T00:00:00Z')`,
    )
    const late = `insert into platform.audit_logs (org_id, id, event_type, created_at)
      values ($1, gen_random_uuid(), 'late', '2020-01-07T00:00:00Z')`
    await sql(late, [org])
    expect(await drop('2020-02')).toEqual({
      dropped: [],
      kept: [
        {
          table: 'audit_logs',
          partition: 'audit_logs_2020_01',
          reason: '1 entry of it is not sealed: run tenantry audit seal',
        },
      ],
    })
    await audit().seal(org)
    await write(org, 3)
    await audit().seal(org)
    expect((await drop('2020-02')).dropped).toHaveLength(1)

    const verified = await audit().verify(org, { anchor: head })
    expect(verified).toMatchObject({ isIntact: true, entries: 7, dropped: 1, isAnchored: true })
    const stopped = await audit().verify(org, { signal: AbortSignal.abort() })
    // The next one verifies what is left before the base.
    expect(stopped).toMatchObject({ entries: 0, dropped: 1, next: { orgId: org, seq: 0 } })
    await sql('update platform.audit_logs set severity = $2 where org_id = $1 and seq = 2', [org, 'critical'])
    const broken = await audit().verify(org)
    expect(firstFault(broken)).toMatchObject({ fault: 'edited', seq: 2 })
    expect(broken.dropped).toBe(1)
    await sql('update platform.audit_logs set severity = $2 where org_id = $1 and seq = 2', [org, 'info'])
    await sql('delete from platform.audit_logs where org_id = $1 and seq = 6', [org])
    expect(firstFault(await audit().verify(org))).toMatchObject({ fault: 'missing', seq: 6 })
  })

  test('takes the whole of a chain, which goes on behind it', async () => {
    const { id: org } = await newLog()
    await sql(
      `create table platform.audit_logs_2020_02 partition of platform.audit_logs
       for values from ('2020-02-01T00:00:00Z') to ('2020-03-01T00:00:00Z')`,
    )
    await write(org, 5)
    await sql(`update platform.audit_logs set created_at = '2020-02-07T00:00:00Z' where org_id = $1`, [org])
    await audit().seal(org)
    const head = await audit().head(org)
    await drop('2020-03')
    expect(await audit().head(org)).toEqual(head)
    const gone = { isIntact: true, entries: 0, dropped: 5, isAnchored: true }
    expect(await audit().verify(org, { anchor: head })).toMatchObject(gone)
    await write(org, 2)
    await audit().seal(org)
    expect(await audit().verify(org, { anchor: head })).toMatchObject({ ...gone, entries: 2 })
    const earlier = { seq: 3, hash: head?.hash ?? '' }
    expect(await audit().verify(org, { anchor: earlier })).toMatchObject({ isIntact: true, isAnchored: false })
    const other = { seq: 5, hash: (head?.hash ?? '').replace(/.$/, (digit) => (digit === '0' ? '1' : '0')) }
    expect(firstFault(await audit().verify(org, { anchor: other }))).toMatchObject({ fault: 'rewritten', seq: 5 })
  })

  test('while a chain is verified moves its base', async () => {
    const { id: org } = await newLog()
    await sql(
      `create table platform.audit_logs_2020_03 partition of platform.audit_logs
       for values from ('2020-03-01T00:00:00Z') to ('2020-04-01T00:00:00Z')`,
    )
    await write(org, 1500)
    await sql(`update platform.audit_logs set created_at = '2020-03-07T00:00:00Z' where org_id = $1`, [org])
    await write(org, 5)
    await audit().seal(org)
    let isDropped = false
    const verified = await audit().verify(org, {
      onProgress: async () => {
        if (!isDropped) await drop('2020-04')
        isDropped = true
      },
    })
    expect(verified).toMatchObject({ isIntact: true, isComplete: true, entries: 1005 })
  })
})
