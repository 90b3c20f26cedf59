import { expect, test } from 'vitest'
import { seed } from '../../examples/seed.js'
import { newOrg } from '../../src/testing/members.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()

test('the seed fills an organization once, and no other one', async () => {
  const [org, other] = [await newOrg(teams.tenancy), await newOrg(teams.tenancy)]
  expect(await seed(teams.tenancy, org)).toBe(true)
  const counts = () => Promise.all([org.members.count(), org.agents.count(), org.tasks.count(), org.invoices.count()])
  expect(await counts()).toEqual([4, 1, 3, 1])
  expect(await seed(teams.tenancy, org)).toBe(false)
  expect(await counts()).toEqual([4, 1, 3, 1])
  expect([await other.members.count(), await other.agents.count()]).toEqual([1, 0])

  // The same people, in another organization.
  expect(await seed(teams.tenancy, other)).toBe(true)
  expect(await other.members.count()).toBe(4)
})
