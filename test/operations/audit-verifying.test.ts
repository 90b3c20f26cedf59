import { getTableColumns } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { contentHash, sealOf } from '../../src/operations/chain-hash.js'
import { auditLogs } from '../../src/schema/audit-logs.js'
import { type Stored, useAuditChains } from '../support/use-audit-chains.js'
import { keys } from '../support/use-teams.js'

const { audit, sql, write, sealed, verify, insertCopy } = useAuditChains()

/** Another value of the type, in SQL. */
const other: Readonly<Record<string, string>> = {
  uuid: `'${newId()}'`,
  jsonb: `'{"other": true}'`,
  inet: `'192.0.2.8'`,
  bytea: `'\\x00'`,
  timestamp: `(created_at at time zone 'UTC' + interval '1 microsecond') at time zone 'UTC'`,
}
const words: Readonly<Record<string, string>> = { actor_kind: 'anonymous', action: 'create', severity: 'critical' }

const columns = Object.values(getTableColumns(auditLogs)).filter(({ name }) => !['org_id', 'seq'].includes(name))

/** Replaces the hashes of a log by those that a keyring makes. */
async function chainAnew(org: string, entries: number, keyring: string): Promise<void> {
  const key = secretsOf(loadKeyring(keyring)).chainKeys?.keys[0]
  if (key === undefined) throw new Error('no key')
  let previous: Uint8Array = Buffer.alloc(0)
  for (let seq = 1; seq <= entries; seq++) {
    const entry = 'from platform.audit_logs where org_id = $1 and seq = $2'
    const [row] = await sql<{ content: Uint8Array }>(`select ${contentHash} as content ${entry}`, [org, seq])
    const hash = sealOf(key, { orgId: org, seq, previous, content: row?.content ?? previous })
    const change = 'update platform.audit_logs set prev_hash = $3, hash = $4 where org_id = $1 and seq = $2'
    await sql(change, [org, seq, previous, hash])
    previous = hash
  }
  await sql('update platform.audit_seals set hash = $2 where org_id = $1', [org, previous])
}

describe('K07: verifying finds', () => {
  test.each(columns.map(({ name }) => name))('an edited %s', async (name) => {
    const { org, ids } = await sealed()
    const column = columns.find((one) => one.name === name)
    const type = column?.getSQLType().split(' ')[0] ?? ''
    const value = other[type] ?? `'${words[name] ?? 'other'}'`
    await sql(`update platform.audit_logs set ${name} = ${value} where org_id = $1 and seq = 4`, [org])
    const [edited] = await sql<Stored>('select id from platform.audit_logs where org_id = $1 and seq = 4', [org])
    const fault = name === 'hash' ? 'unknown key' : 'edited'
    expect(await verify(org)).toEqual({ fault, seq: 4, id: edited?.id })
    expect(name === 'id' || edited?.id === ids[3]).toBe(true)
  })

  test.each(columns.filter(({ name, notNull }) => !notNull && name !== 'hash').map(({ name }) => name))(
    'a %s that was emptied',
    async (name) => {
      const { org, ids } = await sealed(3)
      await sql(`update platform.audit_logs set ${name} = null where org_id = $1 and seq = 2`, [org])
      expect(await verify(org)).toEqual({ fault: 'edited', seq: 2, id: ids[1] })
    },
  )

  test('a text that was moved from one column to its neighbour', async () => {
    const { org, ids } = await sealed(3)
    const move = `update platform.audit_logs set user_agent = 'cur', request_id = 'lr-1' where org_id = $1 and seq = 2`
    await sql(move, [org])
    expect(await verify(org)).toEqual({ fault: 'edited', seq: 2, id: ids[1] })
  })

  test('a hash of another content under the same key', async () => {
    const { org, ids } = await sealed(3)
    const take = `update platform.audit_logs a set hash = b.hash from platform.audit_logs b
      where a.org_id = $1 and b.org_id = $1 and a.seq = 2 and b.seq = 3`
    await sql(take, [org])
    expect(await verify(org)).toEqual({ fault: 'edited', seq: 2, id: ids[1] })
  })

  test.each([1, 4, 7])('that entry %i is gone', async (seq) => {
    const { org } = await sealed()
    await sql('delete from platform.audit_logs where org_id = $1 and seq = $2', [org, seq])
    expect(await verify(org)).toEqual({ fault: 'missing', seq, id: undefined })
  })

  test('an entry with the number of another one, before and after it', async () => {
    for (const id of ['00000000-0000-4000-8000-000000000000', 'ffffffff-ffff-4fff-bfff-ffffffffffff']) {
      const { org } = await sealed()
      await insertCopy(org, 4, id, 4)
      expect(await verify(org)).toEqual({ fault: 'inserted', seq: 4, id })
    }
  })

  test('entries behind the head, and with numbers that are none', async () => {
    const faults = { 9: 'moved', 12: 'inserted', 0: 'edited', '-7': 'edited' }
    for (const [seq, fault] of Object.entries(faults)) {
      const { org } = await sealed()
      const id = newId()
      await insertCopy(org, 8, id, Number(seq))
      expect(await verify(org)).toEqual({ fault, seq: Number(seq), id })
    }
  })

  test('an inserted entry before which the numbers were moved up', async () => {
    const { org } = await sealed()
    await sql('update platform.audit_logs set seq = seq + 1 where org_id = $1 and seq >= 4', [org])
    await sql('update platform.audit_seals set seq = seq + 1 where org_id = $1', [org])
    const id = newId()
    await insertCopy(org, 3, id, 4)
    expect(await verify(org)).toMatchObject({ seq: 4, id })
  })

  test('two entries that changed their numbers, alone or with their hashes', async () => {
    const { org, ids } = await sealed()
    await sql(`update platform.audit_logs set seq = 9 - seq where org_id = $1 and seq in (4, 5)`, [org])
    expect(await verify(org)).toEqual({ fault: 'moved', seq: 4, id: ids[4] })
    const second = await sealed()
    await sql(
      `update platform.audit_logs a set seq = b.seq, hash = b.hash, prev_hash = b.prev_hash from platform.audit_logs b
       where a.org_id = $1 and b.org_id = $1 and a.seq in (4, 5) and b.seq = 9 - a.seq`,
      [second.org],
    )
    expect(await verify(second.org)).toEqual({ fault: 'edited', seq: 4, id: second.ids[4] })
  })

  test('entries that were swapped between organizations', async () => {
    const [one, two] = [await sealed(), await sealed()]
    await sql(
      `update platform.audit_logs set org_id = case org_id when $1 then $2 else $1 end where org_id in ($1, $2) and seq = 4`,
      [one.org, two.org],
    )
    expect(await verify(one.org)).toEqual({ fault: 'moved', seq: 4, id: two.ids[3] })
    expect(await verify(two.org)).toEqual({ fault: 'moved', seq: 4, id: one.ids[3] })
    const { broken } = await audit().verify()
    expect(broken).toHaveLength(new Set(broken.map(({ orgId }) => orgId)).size)
    expect(broken).toEqual(expect.arrayContaining([expect.objectContaining({ orgId: one.org }) as unknown]))
  })

  test('a whole chain that was given to another organization', async () => {
    const [one, two] = [await sealed(), await sealed()]
    await sql('delete from platform.audit_logs where org_id = $1', [two.org])
    await sql('delete from platform.audit_seals where org_id = $1', [two.org])
    await sql('update platform.audit_logs set org_id = $2 where org_id = $1', [one.org, two.org])
    await sql('update platform.audit_seals set org_id = $2 where org_id = $1', [one.org, two.org])
    expect(await verify(two.org)).toEqual({ fault: 'edited', seq: 1, id: one.ids[0] })
  })

  test('a tail that was cut off', async () => {
    const { org } = await sealed()
    await sql('delete from platform.audit_logs where org_id = $1 and seq > 5', [org])
    expect(await verify(org)).toEqual({ fault: 'truncated', seq: 6, id: undefined })
    await sql('delete from platform.audit_logs where org_id = $1', [org])
    expect(await verify(org)).toEqual({ fault: 'truncated', seq: 1, id: undefined })
  })

  test('by the anchor alone, a tail that was cut off together with the head', async () => {
    const { org, head } = await sealed()
    await sql('delete from platform.audit_logs where org_id = $1 and seq > 5', [org])
    await sql(
      `update platform.audit_seals s set seq = a.seq, hash = a.hash from platform.audit_logs a
       where s.org_id = $1 and a.org_id = $1 and a.seq = 5`,
      [org],
    )
    expect(await verify(org)).toBeUndefined()
    expect(await verify(org, head)).toEqual({ fault: 'truncated', seq: 6, id: undefined })
  })

  test('by the anchor alone, a chain that was sealed anew with the key', async () => {
    const { org, head, ids } = await sealed()
    await sql(`update platform.audit_logs set event_type = 'nothing' where org_id = $1 and seq = 4`, [org])
    await sql('update platform.audit_logs set seq = null, prev_hash = null, hash = null where org_id = $1', [org])
    await sql('delete from platform.audit_seals where org_id = $1', [org])
    await audit().seal(org)
    expect(await verify(org)).toBeUndefined()
    expect(await verify(org, head)).toEqual({ fault: 'rewritten', seq: 8, id: ids[7] })
    await write(org, 3)
    await audit().seal(org)
    expect(await verify(org, head)).toEqual({ fault: 'rewritten', seq: 8, id: ids[7] })
  })

  test('a chain that was made anew with another secret, and not one with that of the database', async () => {
    const { org, ids } = await sealed()
    await chainAnew(org, ids.length, `test:${Buffer.alloc(32, 8).toString('base64')}`)
    expect(await verify(org)).toEqual({ fault: 'edited', seq: 1, id: ids[0] })
    await chainAnew(org, ids.length, keys)
    expect(await verify(org)).toBeUndefined()
  })

  test('a head that is not that of the chain, and one that is gone', async () => {
    const { org } = await sealed()
    await sql(`update platform.audit_seals set hash = '\\x00' where org_id = $1`, [org])
    expect(await verify(org)).toEqual({ fault: 'head', seq: 8, id: undefined })
    await sql(
      `update platform.audit_seals s set seq = 5, hash = a.hash from platform.audit_logs a
       where s.org_id = $1 and a.org_id = $1 and a.seq = 5`,
      [org],
    )
    expect(await verify(org)).toEqual({ fault: 'head', seq: 5, id: undefined })
    await sql('delete from platform.audit_seals where org_id = $1', [org])
    expect(await verify(org)).toEqual({ fault: 'head', seq: 0, id: undefined })
  })

  test('a base that was moved in front of entries that are gone', async () => {
    const { org } = await sealed()
    await sql(`update platform.audit_seals set base_seq = 3 where org_id = $1`, [org])
    await sql('delete from platform.audit_logs where org_id = $1 and seq <= 3', [org])
    expect(await verify(org)).toMatchObject({ fault: 'moved', seq: 4 })
  })
})
