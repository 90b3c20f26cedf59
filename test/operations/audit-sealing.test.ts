import { describe, expect, onTestFinished, test } from 'vitest'
import { QueryError } from '../../src/core/errors.js'
import { openSession } from '../../src/database/session.js'
import { contentHash } from '../../src/operations/chain-hash.js'
import { openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { jsonText } from '../../src/schema/shared/json.js'
import { refuseToSeal } from '../support/refuse-to-seal.js'
import { useAuditChains } from '../support/use-audit-chains.js'

const { teams, audit, sql, stored, write, newLog, sealed, verify } = useAuditChains()

describe('sealing', () => {
  test('numbers the entries of an organization by their time, once', async () => {
    const { org, ids } = await sealed(5)
    const byTime = await sql<{ id: string }>(
      `select id from platform.audit_logs where org_id = $1 order by created_at, id`,
      [org],
    )
    expect(ids).toEqual(byTime.map(({ id }) => id))
    expect((await stored(org)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5])
    expect(await audit().seal(org)).toEqual({ entries: 0, organizations: 0, isComplete: true, notSealed: [] })
    await write(org, 3)
    expect(await audit().seal(org)).toEqual({ entries: 3, organizations: 1, isComplete: true, notSealed: [] })
    expect((await stored(org)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(await audit().verify(org)).toEqual({
      isIntact: true,
      broken: [],
      organizations: 1,
      entries: 8,
      unsealed: 0,
      dropped: 0,
      isAnchored: undefined,
      isComplete: true,
      next: undefined,
    })
  })

  test('of every organization goes in batches, stops at the limit, and goes on', async () => {
    await audit().seal()
    for (const { id } of [await newLog(), await newLog()]) await write(id, 1200)
    const heard: number[] = []
    const first = await audit().seal(undefined, {
      limit: 2100,
      onProgress: ({ done, total }) => {
        expect(total).toBe(2400)
        heard.push(done)
      },
    })
    expect(first).toEqual({ entries: 2100, organizations: 2, isComplete: false, notSealed: [] })
    expect(heard).toEqual([1000, 1200, 2100])
    expect(await audit().seal()).toEqual({ entries: 300, organizations: 1, isComplete: true, notSealed: [] })
    const verified = await audit().verify()
    expect(verified).toMatchObject({ isIntact: true, isComplete: true, unsealed: 0 })
    expect(verified.entries).toBeGreaterThanOrEqual(2400)
  })

  test('is stopped between two batches by its signal', async () => {
    const { id } = await newLog()
    await write(id, 1500)
    const stop = new AbortController()
    const onProgress = () => {
      stop.abort()
    }
    const stopped = await audit().seal(id, { signal: stop.signal, onProgress })
    expect(stopped).toEqual({ entries: 1000, organizations: 1, isComplete: false, notSealed: [] })
  })

  test('is recorded once, and only when something was sealed', async () => {
    const records = (org: string) =>
      sql<{ metadata: unknown }>(
        `select metadata from platform.system_audit_logs where operation = 'audit.seal' and target_org_id = $1`,
        [org],
      )
    const { org } = await sealed(3)
    await audit().seal(org)
    expect(await records(org)).toEqual([{ metadata: { entries: 3, organizations: 1, isComplete: true } }])
  })

  test('takes entries with a moment without end, which the application can write', async () => {
    const { org, ids } = await sealed(1)
    for (const moment of ['infinity', '-infinity', '0044-03-15 BC'])
      await sql(
        `insert into platform.audit_logs (org_id, id, event_type, created_at) values ($1, gen_random_uuid(), 'odd', $2)`,
        [org, moment],
      )
    await audit().seal(org)
    expect(await audit().verify(org)).toMatchObject({ isIntact: true, entries: ids.length + 3 })
    await sql(`delete from platform.audit_logs where org_id = $1`, [org])
  })

  test('by ten at once gives each number once', async () => {
    const { id } = await newLog()
    await write(id, 2500)
    const sealers = await Promise.all(Array.from({ length: 10 }, () => audit().seal(id)))
    const count = (await stored(id)).length
    expect(sealers.reduce((sum, { entries }) => sum + entries, 0)).toBe(count)
    expect((await stored(id)).map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, n) => n + 1))
    expect(await verify(id)).toBeUndefined()
  })

  test('while fifty write, of whom some give up, leaves no gap and no break', async () => {
    const team = await newLog()
    let isWriting = true
    const sealer = async () => {
      while (isWriting) await audit().seal(team.id)
    }
    const sealers = [sealer(), sealer()]
    const written = await Promise.allSettled(
      Array.from({ length: 50 }, async (_, contender) => {
        for (let round = 0; round < 4; round++) {
          await team.org
            .transaction(async (org) => {
              await org.audit.record({ eventType: 'report.sent', metadata: { contender, round } })
              await org.audit.record({ eventType: 'report.read', metadata: { contender, round } })
              if ((contender + round) % 3 === 0) throw new Error('given up')
            })
            .catch((error: unknown) => {
              if (!(error instanceof Error && error.message === 'given up')) throw error
            })
        }
      }),
    )
    isWriting = false
    await Promise.all(sealers)
    expect(written.filter(({ status }) => status === 'rejected')).toEqual([])
    await audit().seal(team.id)
    const rows = await stored(team.id)
    const kept = await team.org.audit.count({ eventType: { prefix: 'report.' } })
    expect(kept).toBe(
      2 * Array.from({ length: 200 }, (_, n) => (Math.floor(n / 4) + (n % 4)) % 3).filter(Boolean).length,
    )
    expect(rows.map(({ seq }) => seq)).toEqual(rows.map((_, index) => index + 1))
    expect(await audit().verify(team.id)).toMatchObject({ isIntact: true, entries: rows.length, unsealed: 0 })
  })

  test('gives an entry that was begun earlier and ends later a later number', async () => {
    const { org, team, ids } = await sealed(2)
    let late = ''
    await team.org.transaction(async (inner) => {
      late = (await inner.audit.record({ eventType: 'report.late' })).id
      await team.org.audit.record({ eventType: 'report.early' })
      await audit().seal(org)
    })
    await audit().seal(org)
    const rows = await stored(org)
    expect(rows.slice(0, 2).map(({ id }) => id)).toEqual(ids)
    expect(rows.at(-1)).toEqual({ seq: rows.length, id: late })
    expect(await verify(org)).toBeUndefined()
  })

  test('covers the same text whatever the session prints dates and numbers as', async () => {
    const { org } = await sealed(3)
    const session = await openSession({ url: teams.database.adminUrl })
    onTestFinished(() => session.close())
    const read = () =>
      session.query(`select ${contentHash} as content from platform.audit_logs where org_id = $1 order by seq`, [org])
    const before = await read()
    expect(new Set(before.map((row) => JSON.stringify(row))).size).toBe(3)
    for (const setting of [
      "datestyle = 'German, DMY'",
      "timezone = 'Asia/Kathmandu'",
      'extra_float_digits = -15',
      "intervalstyle = 'iso_8601'",
      "bytea_output = 'escape'",
    ])
      await session.query(`set ${setting}`)
    expect(await read()).toEqual(before)
  })

  test('goes on with the next organization where one has an entry that is too large, and with smaller batches', async () => {
    await audit().seal()
    const [first, last] = [await newLog(), await newLog()].toSorted((one, other) => (one.id < other.id ? -1 : 1))
    if (first === undefined || last === undefined) return expect.unreachable()
    const tooLarge = await refuseToSeal(teams.database.admin)
    await first.org.audit.record({ eventType: 'report.huge' })
    await write(last.id, 25)
    const notSealed = [{ orgId: first.id, code: 'invalid_input' }]
    expect(await audit().seal()).toEqual({ entries: 25, organizations: 1, isComplete: true, notSealed })
    expect(await verify(last.id)).toBeUndefined()
    expect(await audit().seal(first.id)).toMatchObject({ entries: 0, notSealed })

    await last.org.audit.record({ eventType: 'report.sent' })
    const maintained = await teams.system().maintenance.run()
    expect(maintained).toMatchObject({ isComplete: true, notSealed, rows: { auditEntries: 1 } })
    await tooLarge.accept()
    expect(await audit().seal()).toMatchObject({ entries: 1, notSealed: [] })
    const [record] = await sql<{ metadata: object }>(
      `select metadata from platform.system_audit_logs where operation = 'audit.seal' and target_org_id = $1 order by id limit 1`,
      [first.id],
    )
    expect(record?.metadata).toMatchObject({ entries: 0, notSealed })
  })

  test('takes larger batches again behind an entry that is too large for one', async () => {
    const { id, org } = await newLog()
    const { accept } = await refuseToSeal(teams.database.admin, 'report.large')
    await sql(
      `insert into platform.audit_logs (org_id, id, event_type, created_at) values ($1, gen_random_uuid(), 'report.large', now() - interval '1 day')`,
      [id],
    )
    await write(id, 299)
    const heard: number[] = []
    await audit().seal(id, { onProgress: ({ done }) => void heard.push(done) })
    // A batch of 100 failed, so the next are smaller than that.
    expect(heard).toEqual([10, 30, 70, 150, 249, 300])
    await accept()
    expect(await org.audit.count()).toBe(300)
    expect(await verify(id)).toBeUndefined()
  })

  test('stops where the database refuses a batch for another reason than its size', async () => {
    const { id } = await newLog()
    await write(id, 20)
    const { accept } = await refuseToSeal(teams.database.admin, undefined, 'P0001')
    await expect(audit().seal(id)).rejects.toThrow(QueryError)
    await accept()
    expect(await audit().seal(id)).toMatchObject({ entries: 20, notSealed: [] })
  })

  test('cannot be stopped by numbers with many digits: `record` counts those of the text that Postgres makes', async () => {
    const { org } = await newLog()
    const record = (numbers: number[]) => org.audit.record({ eventType: 'report.sent', metadata: { numbers } })
    for (const number of [1e308, -1e308, 1e-300])
      await expect(record(Array.from({ length: 4000 }, () => number))).rejects.toThrow('larger than 1048576 bytes')
    await expect(record(Array.from({ length: 3000 }, () => 1e308))).resolves.toBeDefined()
    expect(() => jsonText(Array.from({ length: 4000 }, () => 1e308))).toThrow('larger than 1048576 bytes')
  })

  test('works on an embedded database', async () => {
    const { tenancy, newOrg, close } = await openEmbeddedTenancy()
    const org = await newOrg()
    await org.audit.record({ eventType: 'report.sent', metadata: { to: ['you'] } })
    const { audit } = tenancy.system({ actor: 'test', reason: 'a test' })
    expect((await audit.seal()).entries).toBeGreaterThan(0)
    const verified = await audit.verify(org.id, { anchor: await audit.head(org.id) })
    expect(verified).toMatchObject({ isIntact: true, isAnchored: true, unsealed: 0 })
    await close()
  })
})
