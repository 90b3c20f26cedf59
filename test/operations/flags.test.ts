import { describe, expect, test } from 'vitest'
import { ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { Flags } from '../../src/operations/flags.js'
import { isInRollout } from '../../src/operations/rollout.js'
import { entriesOf } from '../support/audited-rows.js'
import { contextOf } from '../support/scope-context.js'
import { newFlag } from '../support/new-flag.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const strict = { strict: true }
const catalog = () => teams.system().catalog.flags

const expire = (orgId: string) =>
  teams.database.admin.query(
    `update platform.organization_feature_flags set expires_at = now() - interval '1 second' where org_id = $1`,
    [orgId],
  )
const tomorrow = () => new Date(Date.now() + 86_400_000)

/** A percentage at which the organization is in the rollout of the flag, and one at which it is not. */
function percentages(flagKey: string, orgId: string): { reached: number; missed: number } {
  const reached = Array.from({ length: 100 }, (_, at) => at + 1).find((most) => isInRollout(flagKey, orgId, most)) ?? 0
  return { reached, missed: reached - 1 }
}

describe.each([
  ['strictly', strict],
  ['from a shared read', undefined],
])('%s', (_, options) => {
  test('an unknown flag is off', async () => {
    const { org } = await teams.newTeam()
    expect(await org.flags.evaluate('nowhere', options)).toEqual({ key: 'nowhere', value: false, reason: 'unknown' })
  })

  test('an archived flag is off, whatever else is said of it', async () => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog(), { defaultValue: true, rolloutPercentage: 100 })
    await org.flags.override(key, { enabled: true })
    await catalog().archive(key)
    expect(await org.flags.evaluate(key, options)).toEqual({ key, value: false, reason: 'archived' })
  })

  test('the kill switch goes before the override', async () => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog(), { defaultValue: true, rolloutPercentage: 100 })
    await org.flags.override(key, { enabled: true })
    await catalog().upsert({ flagKey: key, flagName: 'A flag', enabled: false })
    expect(await org.flags.evaluate(key, options)).toEqual({ key, value: false, reason: 'disabled' })
  })

  test.each([true, false])('the override to %s goes before the rollout and the default value', async (enabled) => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog(), { defaultValue: !enabled, rolloutPercentage: enabled ? 0 : 100 })
    await org.flags.override(key, { enabled, expiresAt: tomorrow() })
    expect(await org.flags.evaluate(key, options)).toEqual({ key, value: enabled, reason: 'override' })
  })

  test('an override that has expired by the clock of the database counts for nothing', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    await org.flags.override(key, { enabled: true, expiresAt: tomorrow() })
    await expire(id)
    expect(await org.flags.evaluate(key, options)).toEqual({ key, value: false, reason: 'default' })
  })

  test('an override that never ends in SQL either is one', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    await org.flags.override(key, { enabled: true })
    await teams.database.admin.query(
      `update platform.organization_feature_flags set expires_at = 'infinity' where org_id = $1`,
      [id],
    )
    expect(await org.flags.evaluate(key, options)).toMatchObject({ value: true, reason: 'override' })
  })

  test('a flag is on where its percentage has reached the organization; otherwise it has its default value', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    const { reached, missed } = percentages(key, id)
    for (const defaultValue of [false, true]) {
      await catalog().upsert({ flagKey: key, flagName: 'A flag', defaultValue, rolloutPercentage: missed })
      expect(await org.flags.evaluate(key, options)).toEqual({ key, value: defaultValue, reason: 'default' })
      await catalog().upsert({ flagKey: key, flagName: 'A flag', rolloutPercentage: reached })
      expect(await org.flags.evaluate(key, options)).toEqual({ key, value: true, reason: 'rollout' })
    }
  })

  test('all flags that are not archived are evaluated at once', async () => {
    const { org } = await teams.newTeam()
    const [on, off, archived] = [await newFlag(catalog()), await newFlag(catalog()), await newFlag(catalog())]
    await org.flags.override(on, { enabled: true })
    await catalog().archive(archived)
    const all = await org.flags.evaluateAll(options)
    expect(all[on]).toEqual({ key: on, value: true, reason: 'override' })
    expect(all[off]).toEqual({ key: off, value: false, reason: 'default' })
    expect(Object.hasOwn(all, archived)).toBe(false)
  })
})

describe('overrides', () => {
  test('are listed by key with what was said of them, and a new one replaces the earlier as a whole', async () => {
    const team = await teams.newTeam()
    const { org } = team
    const [first, second] = [await newFlag(catalog()), await newFlag(catalog())].sort()
    const { userId } = await team.join('admin')
    const acting = await team.as(userId)
    await acting.flags.override(second as string, { enabled: true, reason: 'a trial', expiresAt: tomorrow() })
    await org.flags.override(first as string, { enabled: false })
    expect(await org.flags.overrides()).toMatchObject([
      { flagKey: first, enabled: false, reason: null, expiresAt: null, setBy: null },
      { flagKey: second, enabled: true, reason: 'a trial', setBy: userId },
    ])

    const replaced = await org.flags.override(second as string, { enabled: false })
    expect(replaced).toMatchObject({ flagKey: second, enabled: false, reason: null, expiresAt: null, setBy: null })
    expect(await org.flags.overrides()).toHaveLength(2)
  })

  test('are cleared, and clear returns whether there was one', async () => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog())
    await org.flags.override(key, { enabled: true })
    expect(await org.flags.clear(key)).toBe(true)
    expect(await org.flags.clear(key)).toBe(false)
    expect(await org.flags.clear('nowhere')).toBe(false)
    expect(await org.flags.overrides()).toEqual([])
  })

  test('of an unknown or archived flag are refused', async () => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog())
    await catalog().archive(key)
    for (const unusable of ['nowhere', key])
      await expect(org.flags.override(unusable, { enabled: true })).rejects.toThrow(NotFoundError)
  })

  test('that would end in the past are refused', async () => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog())
    const refused = org.flags.override(key, { enabled: true, expiresAt: new Date(0) })
    await expect(refused).rejects.toEqual(new InvalidInputError('expiresAt', 'must be in the future'))
  })

  test('are audited under the name of the domain, with the old and the new values', async () => {
    const { org, id } = await teams.newTeam()
    const key = await newFlag(catalog())
    const before = (await entriesOf(teams.database.admin, id)).length
    await org.flags.override(key, { enabled: true })
    await org.flags.override(key, { enabled: false })
    await org.flags.clear(key)
    const entries = (await entriesOf(teams.database.admin, id)).slice(before)
    expect(entries.map(({ event_type, action, changes }) => [event_type, action, changes?.enabled])).toEqual([
      ['organization_feature_flags.override', 'create', { new: true }],
      ['organization_feature_flags.override', 'update', { old: true, new: false }],
      ['organization_feature_flags.delete', 'delete', { old: false }],
    ])
  })

  test('of 20 callers at once leave one row', async () => {
    const { org } = await teams.newTeam()
    const key = await newFlag(catalog())
    await Promise.all(Array.from({ length: 20 }, (_, at) => org.flags.override(key, { enabled: at % 2 === 0 })))
    expect(await org.flags.overrides()).toHaveLength(1)
    const cleared = await Promise.all(Array.from({ length: 20 }, () => org.flags.clear(key)))
    expect(cleared.filter(Boolean)).toHaveLength(1)
  })

  test('need flags:read to be listed and flags:write to be changed; an evaluation needs nothing', async () => {
    const team = await teams.newTeam()
    const key = await newFlag(catalog())
    await team.org.flags.override(key, { enabled: true })
    const guest = await team.as((await team.join('customer')).userId)
    await expect(guest.flags.overrides()).rejects.toEqual(new ForbiddenError('flags:read'))
    for (const options of [undefined, strict])
      expect(await guest.flags.evaluate(key, options)).toMatchObject({ value: true, reason: 'override' })

    const reader = await team.as((await team.join('member')).userId)
    expect(await reader.flags.overrides()).toHaveLength(1)
    await expect(reader.flags.override(key, { enabled: false })).rejects.toEqual(new ForbiddenError('flags:write'))
    await expect(reader.flags.clear(key)).rejects.toEqual(new ForbiddenError('flags:write'))
    // Before the catalog is read, so that nobody learns from it which flags there are.
    await expect(reader.flags.override('nowhere', { enabled: true })).rejects.toEqual(new ForbiddenError('flags:write'))
    await expect(reader.flags.clear('nowhere')).rejects.toEqual(new ForbiddenError('flags:write'))
  })
})

const calls: ((flags: Flags, key: never) => Promise<unknown>)[] = [
  (flags, key) => flags.evaluate(key),
  (flags, key) => flags.override(key, { enabled: true }),
  (flags, key) => flags.clear(key),
]

const wrongKeys = ['', ' ', 'a\0', 'x'.repeat(101), 7, null, undefined, {}]
test.each(wrongKeys)('the key %j is refused before anything is sent', async (key) => {
  const flags = new Flags(unsent)
  for (const call of calls) await expect(call(flags, key as never)).rejects.toThrow(/^key: /)
})

test('other input is refused by its field', async () => {
  const flags = new Flags(unsent)
  await expect(flags.evaluate('a', { strict: 1 } as never)).rejects.toThrow(/^strict: /)
  await expect(flags.evaluateAll({ strictly: true } as never)).rejects.toThrow(/^strictly: /)
  await expect(flags.override('a', { enabled: 'yes' } as never)).rejects.toThrow(/^enabled: /)
  await expect(flags.override('a', { enabled: true, orgId: newId() } as never)).rejects.toThrow('orgId')
  await expect(flags.override('a', { enabled: true, expiresAt: 'soon' })).rejects.toThrow(/^expiresAt: /)
})

/** A scope that plans each call and sends none. */
const unsent = {
  isDirect: false,
  context: contextOf(newId()),
  query: (plan: () => unknown) => Promise.resolve().then(plan),
  steps: (work: (scope: Scope) => unknown) => work(unsent),
} as unknown as Scope
