import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bucketOf, isInRollout, murmur3 } from '../../src/operations/rollout.js'

test.each([
  ['', 0],
  ['test', 0xba6bd213],
  ['Hello, world!', 0xc0363e43],
  ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
])('the hash of %j is the published one', (text, hash) => {
  expect(murmur3(text)).toBe(hash)
})

// Of the client specification of Unleash: what it calls the group is the key of the flag here, and the user is the organization.
test.each([
  ['AB12A', '123', 100, true],
  ['AB12A', '122', 50, true],
  ['AB12A', '155', 50, false],
  ['AB12A', '122', 0, false],
  ['Feature.flexibleRollout.10', '174', 10, true],
  ['Feature.flexibleRollout.10', '499', 10, false],
  ['Feature.flexibleRollout.userId.55', '25', 55, true],
  ['Feature.flexibleRollout.sessionId.42', '147', 42, true],
  ['Feature.flexibleRollout.0', '12', 0, false],
  ['Feature.flexible.rollout.custom.stickiness_100', 'any_value', 100, true],
  ['Feature.flexible.rollout.custom.stickiness_50', '402', 50, false],
  ['Feature.flexible.rollout.custom.stickiness_50', '388', 50, true],
  ['Feature.flexible.rollout.custom.stickiness_50', '39', 50, true],
])('%s for %s at %d per cent is as in Unleash', (flagKey, id, percentage, isOn) => {
  expect(isInRollout(flagKey, id, percentage)).toBe(isOn)
})

test.each([
  ['gr1', '123', 73],
  ['groupX', '999', 25],
])('the bucket of %s for %s is that of the clients of Unleash', (flagKey, id, bucket) => {
  expect(bucketOf(flagKey, id)).toBe(bucket)
})

const percentage = fc.integer({ min: 0, max: 100 })
// A failure prints the seed, with the path to the example.
const seed = 1
const numRuns = 1000

test('raising the percentage never turns anybody off', () => {
  fc.assert(
    fc.property(fc.string(), fc.uuid(), percentage, percentage, (key, orgId, one, other) => {
      const [low, high] = [Math.min(one, other), Math.max(one, other)]
      return !isInRollout(key, orgId, low) || isInRollout(key, orgId, high)
    }),
    { seed, numRuns },
  )
})

test('nobody is in at 0 per cent, and everybody at 100', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.uuid(),
      (key, orgId) => !isInRollout(key, orgId, 0) && isInRollout(key, orgId, 100),
    ),
    { seed, numRuns },
  )
})

test('the hash spreads organizations evenly, and each flag in its own way', () => {
  const ids = Array.from({ length: 4000 }, (_, at) => `00000000-0000-7000-8000-${String(at).padStart(12, '0')}`)
  const reached = (key: string) => ids.filter((id) => isInRollout(key, id, 25))
  const [some, others] = [reached('some'), reached('others')]
  for (const { length } of [some, others]) expect(Math.abs(length - 1000)).toBeLessThan(120)
  const both = some.filter((id) => others.includes(id)).length
  expect(Math.abs(both - 250)).toBeLessThan(80)
})
