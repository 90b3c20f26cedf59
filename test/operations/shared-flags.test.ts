import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { InvalidInputError, TimeoutError } from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { sharedFlags } from '../../src/operations/flag-states.js'
import { Flags } from '../../src/operations/flags.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { newFlag } from '../support/new-flag.js'
import { contextOf } from '../support/scope-context.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const strict = { strict: true }
const catalog = () => teams.system().catalog.flags
const tomorrow = () => new Date(Date.now() + 86_400_000)

describe('shared reads', () => {
  let executor: Executor
  let sent = 0
  let now = 0
  beforeAll(() => {
    const opened = openNodePostgres({ pool: { connectionString: teams.database.appUrl, max: 10 } })
    executor = Object.assign(Object.create(opened) as Executor, {
      run: (...given: Parameters<Executor['run']>) => {
        sent++
        return opened.run(...given)
      },
    })
  })
  afterAll(() => executor.close({ drain: 0 }))

  /** Scopes that share reads, by a clock that the test moves. */
  function sharing(maxAge = 30) {
    now = 0
    const flags = sharedFlags(executor, { maxAge }, () => now)
    return (orgId: string, signal?: AbortSignal): Flags =>
      new Flags(new DirectScope({ ...contextOf(orgId, flags && { flags }), signal }, executor))
  }

  async function sentBy<T>(call: () => Promise<T>): Promise<{ answer: T; sent: number }> {
    const before = sent
    const answer = await call()
    return { answer, sent: sent - before }
  }

  test('callers of one moment share one read, and later ones send nothing until it is too old', async () => {
    const { id } = await teams.newTeam()
    const key = await newFlag(catalog(), { defaultValue: true })
    const flagsOf = sharing()
    const many = () => Promise.all(Array.from({ length: 50 }, () => flagsOf(id).evaluate(key)))
    expect((await sentBy(many)).sent).toBe(1)
    now = 29_999
    expect((await sentBy(() => flagsOf(id).evaluateAll())).sent).toBe(0)
    now = 30_000
    expect((await sentBy(many)).sent).toBe(1)
    expect((await sentBy(() => flagsOf(id).evaluate(key, strict))).sent).toBe(1)
  })

  test('a change elsewhere is seen when the read is too old, and strictly at once', async () => {
    const { id, org } = await teams.newTeam()
    const key = await newFlag(catalog())
    const flags = sharing()(id)
    expect(await flags.evaluate(key)).toMatchObject({ value: false })
    await org.flags.override(key, { enabled: true })
    expect(await flags.evaluate(key)).toMatchObject({ value: false })
    expect(await flags.evaluate(key, strict)).toMatchObject({ value: true })
    now = 30_000
    expect(await flags.evaluate(key)).toMatchObject({ value: true })
  })

  test('an override ends between two reads', async () => {
    const { id, org } = await teams.newTeam()
    const key = await newFlag(catalog())
    await org.flags.override(key, { enabled: true, expiresAt: tomorrow() })
    await teams.database.admin.query(
      `update platform.organization_feature_flags set expires_at = now() + interval '10 minutes' where org_id = $1`,
      [id],
    )
    const flags = sharing(3600)(id)
    expect(await flags.evaluate(key)).toMatchObject({ reason: 'override' })
    now = 500_000
    expect(await flags.evaluate(key)).toMatchObject({ reason: 'override' })
    now = 600_000
    expect(await sentBy(() => flags.evaluate(key))).toMatchObject({ answer: { reason: 'default' }, sent: 0 })
  })

  test('with maxAge 0 each evaluation reads', async () => {
    const { id } = await teams.newTeam()
    const flags = sharing(0)(id)
    expect((await sentBy(() => flags.evaluate('nowhere'))).sent).toBe(1)
    expect((await sentBy(() => flags.evaluateAll())).sent).toBe(1)
  })

  test('a read that failed is not kept', async () => {
    const { id } = await teams.newTeam()
    const flags = sharing()(id)
    await teams.system().organizations.suspend(id, 'unpaid')
    await expect(flags.evaluate('nowhere')).rejects.toMatchObject({ code: 'organization_suspended' })
    await teams.system().organizations.reactivate(id)
    expect(await flags.evaluate('nowhere')).toMatchObject({ reason: 'unknown' })
  })

  test('a caller that goes away ends the read for nobody else', async () => {
    const { id } = await teams.newTeam()
    const flagsOf = sharing()
    const leaving = new AbortController()
    const gone = flagsOf(id, leaving.signal).evaluate('nowhere')
    const staying = flagsOf(id).evaluate('nowhere')
    leaving.abort()
    await expect(gone).rejects.toThrow(TimeoutError)
    expect(await staying).toMatchObject({ reason: 'unknown' })
    await expect(flagsOf(id, leaving.signal).evaluate('nowhere')).rejects.toThrow(TimeoutError)
  })

  test('an override of one organization never answers for another, whoever calls in between', async () => {
    const [ours, theirs] = [await teams.newTeam(), await teams.newTeam()]
    const keysOf = [await newFlag(catalog()), await newFlag(catalog()), await newFlag(catalog())]
    for (const key of keysOf) {
      await ours.org.flags.override(key, { enabled: true })
      await theirs.org.flags.override(key, { enabled: false })
    }
    const flagsOf = sharing(1)
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, caller) => {
        const isOurs = caller % 2 === 0
        const flags = flagsOf(isOurs ? ours.id : theirs.id)
        const seen: boolean[] = []
        for (const [at, key] of keysOf.entries()) {
          // Reads get too old while others are under way.
          now += 40
          const found = at === 1 ? (await flags.evaluateAll())[key] : await flags.evaluate(key, { strict: at === 2 })
          seen.push(found?.reason === 'override' && found.value === isOurs)
        }
        return seen
      }),
    )
    expect(answers.flat()).toHaveLength(150)
    expect(answers.flat().every(Boolean)).toBe(true)
  })
})

describe('in one process', () => {
  let other: Tenancy
  beforeAll(async () => {
    // So long that no read gets too old while a test runs.
    other = await openTenancy({ url: teams.database.appUrl, keys, flags: { maxAge: 3600 } })
  })
  afterAll(() => other.close({ drain: 0 }))

  test('what a scope has written is seen by every scope at once', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    const value = async () => (await teams.tenancy.forOrg(id).flags.evaluate(key)).value
    expect(await value()).toBe(false)
    await org.flags.override(key, { enabled: true })
    expect(await value()).toBe(true)
    await org.flags.clear(key)
    expect(await value()).toBe(false)
  })

  test('a change in a transaction is seen inside it before, and outside when it has been committed', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    const outside = async () => (await teams.tenancy.forOrg(id).flags.evaluate(key)).value
    await org.transaction(async (inner) => {
      await inner.transaction((nested) => nested.flags.override(key, { enabled: true }))
      expect(await inner.flags.evaluate(key)).toMatchObject({ value: true })
      // This read is from before the commit, and would be kept.
      expect(await outside()).toBe(false)
    })
    expect(await outside()).toBe(true)
  })

  test('a change that is rolled back is seen by nobody', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    const failing = org.transaction(async (inner) => {
      await inner.flags.override(key, { enabled: true })
      throw new Error('rolled back')
    })
    await expect(failing).rejects.toThrow('rolled back')
    expect(await teams.tenancy.forOrg(id).flags.evaluate(key)).toMatchObject({ value: false })
  })

  test('the kill switch of the catalog is seen at once', async () => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog(), { defaultValue: true })
    expect(await org.flags.evaluate(key)).toMatchObject({ value: true })
    await catalog().upsert({ flagKey: key, flagName: 'A flag', enabled: false })
    expect(await org.flags.evaluate(key)).toMatchObject({ value: false, reason: 'disabled' })
  })

  test('another tenancy keeps reads of its own', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    expect(await other.forOrg(id).flags.evaluate(key)).toMatchObject({ value: false })
    await org.flags.override(key, { enabled: true })
    expect(await org.flags.evaluate(key)).toMatchObject({ value: true })
    expect(await other.forOrg(id).flags.evaluate(key)).toMatchObject({ value: false })
  })

  test('evaluations go into a batch, and read there, although an earlier read would answer outside', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog(), { defaultValue: true })
    const stale = other.forOrg(id)
    expect(await stale.flags.evaluate(key)).toMatchObject({ value: true })
    await org.flags.override(key, { enabled: false })
    const [one, all] = await stale.batch((inner) => {
      const flags = inner.repository(Flags)
      return [flags.evaluate(key), flags.evaluateAll()]
    })
    expect([one.value, all[key]?.value]).toEqual([false, false])
    expect(await stale.flags.evaluate(key)).toMatchObject({ value: true })
  })
})

test.each([{ maxAge: -1 }, { maxAge: 1.5 }, { maxAge: 3601 }, { maxAge: '30' }, { maxage: 1 }, 30])(
  'openTenancy refuses flags: %j',
  async (flags) => {
    const opened = openTenancy({ url: teams.database.appUrl, keys, flags: flags as never })
    await expect(opened).rejects.toThrow(InvalidInputError)
  },
)
