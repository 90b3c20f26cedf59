import { ErrorCode, OpenFeature, StandardResolutionReasons } from '@openfeature/server-sdk'
import { afterAll, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { OrgFlagProvider } from '../../src/openfeature.js'
import type { Org } from '../../src/org.js'
import { newFlag } from '../support/new-flag.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const catalog = () => teams.system().catalog.flags
afterAll(() => OpenFeature.close())

async function clientOf(org: Org, domain = org.id) {
  await OpenFeature.setProviderAndWait(domain, new OrgFlagProvider(org))
  return OpenFeature.getClient(domain)
}

test('a flag is resolved with the reason of OpenFeature, and ours beside it', async () => {
  const { org } = await teams.newTeam()
  const client = await clientOf(org)
  const [on, off, fallback, reached, archived] = [
    await newFlag(catalog()),
    await newFlag(catalog(), { enabled: false, defaultValue: true }),
    await newFlag(catalog(), { defaultValue: true }),
    await newFlag(catalog(), { rolloutPercentage: 100 }),
    await newFlag(catalog(), { defaultValue: true }),
  ]
  await org.flags.override(on, { enabled: true })
  await catalog().archive(archived)
  const expected = [
    [on, true, StandardResolutionReasons.TARGETING_MATCH, 'override'],
    [off, false, StandardResolutionReasons.DISABLED, 'disabled'],
    [fallback, true, StandardResolutionReasons.DEFAULT, 'default'],
    [reached, true, StandardResolutionReasons.SPLIT, 'rollout'],
    [archived, false, StandardResolutionReasons.DISABLED, 'archived'],
  ] as const
  for (const [key, value, reason, own] of expected) {
    expect(await client.getBooleanDetails(key, !value)).toEqual({
      flagKey: key,
      value,
      reason,
      flagMetadata: { reason: own },
    })
  }
})

test.each([true, false])('an unknown flag is the default value %s, and FLAG_NOT_FOUND', async (value) => {
  const client = await clientOf((await teams.newTeam()).org)
  const { FLAG_NOT_FOUND: errorCode } = ErrorCode
  expect(await client.getBooleanDetails('nowhere', value)).toMatchObject({ value, reason: 'ERROR', errorCode })
})

test('other kinds than boolean are the default value, and TYPE_MISMATCH', async () => {
  const client = await clientOf((await teams.newTeam()).org)
  const key = await newFlag(catalog())
  const { TYPE_MISMATCH: errorCode } = ErrorCode
  expect(await client.getStringDetails(key, 'red')).toMatchObject({ value: 'red', errorCode })
  expect(await client.getNumberDetails(key, 7)).toMatchObject({ value: 7, errorCode })
  expect(await client.getObjectDetails(key, { a: 1 })).toMatchObject({ value: { a: 1 }, errorCode })
})

test('two organizations at once each get their own, whatever the context says', async () => {
  const [ours, theirs] = [await teams.newTeam(), await teams.newTeam()]
  const key = await newFlag(catalog())
  await ours.org.flags.override(key, { enabled: true })
  await theirs.org.flags.override(key, { enabled: false })
  const [our, their] = [await clientOf(ours.org), await clientOf(theirs.org)]
  const contextOf = (id: string) => ({ targetingKey: id, orgId: id, org: id, organization: id })
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, caller) => {
      const [client, value, other] = caller % 2 === 0 ? [our, true, theirs.id] : [their, false, ours.id]
      return (await client.getBooleanValue(key, !value, contextOf(other))) === value
    }),
  )
  expect(answers.every(Boolean)).toBe(true)
})

test('a failure is the default value with a message that tells no more than the error', async () => {
  const { org, id } = await teams.newTeam()
  const client = await clientOf(org)
  await teams.system().organizations.suspend(id, 'a secret reason')
  const found = await client.getBooleanDetails('any', true)
  expect(found).toMatchObject({ value: true, reason: 'ERROR', errorCode: ErrorCode.GENERAL })
  expect(found.errorMessage).not.toContain('secret')
})

test.each([undefined, null, {}, newId(), { id: newId(), flags: {} }])('%j is refused as a scope', (org) => {
  expect(() => new OrgFlagProvider(org as never)).toThrow(InvalidInputError)
})
