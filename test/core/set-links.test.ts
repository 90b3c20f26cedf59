import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import {
  BrokenReferenceError,
  ForbiddenError,
  InvalidInputError,
  NotFoundError,
  ScopeClosedError,
} from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { contend, race } from '../support/contenders.js'
import { holders, makeSampleTables, marks, samples } from '../support/sample-tables.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const anything = z.looseObject({})
const Samples = defineRepository(samples, { create: anything, patch: anything })
const Holders = defineRepository(holders, { create: anything, patch: anything })
const Marks = defineRepository(marks, {
  link: z.strictObject({ holderId: z.uuid(), sampleId: z.uuid() }),
  permission: 'projects',
})

let team: Team
let org: Org
let other: Org
beforeAll(async () => {
  await makeSampleTables(teams.database.admin)
  ;[team, { org: other }] = await Promise.all([teams.newTeam(), teams.newTeam()])
  ;({ org } = team)
})

const newHolder = async (org: Org) => (await org.repository(Holders).create({ name: 'Ada' })).id
const newSamples = async (org: Org, count: number): Promise<string[]> => {
  const made = Array.from({ length: count }, () => org.repository(Samples).create({}))
  return (await Promise.all(made)).map(({ id }) => id)
}
const linked = async (org: Org, holderId: string): Promise<string[]> =>
  (await org.repository(Marks).list({ holderId })).items.map(({ sampleId }) => sampleId).sort()

test('the links of a row become exactly the given ones, from either side', async () => {
  const marks = org.repository(Marks)
  const [holderId, another] = [await newHolder(org), await newHolder(org)]
  const [a = '', b = '', c = ''] = await newSamples(org, 3)
  await marks.link({ holderId: another, sampleId: a })

  expect(await marks.setLinks({ holderId }, [a, b])).toEqual({ added: 2, removed: 0 })
  expect(await marks.setLinks({ holderId }, [b, c, c])).toEqual({ added: 1, removed: 1 })
  expect(await linked(org, holderId)).toEqual([b, c].sort())
  expect(await marks.setLinks({ holderId }, [c, b])).toEqual({ added: 0, removed: 0 })
  expect(await marks.setLinks({ sampleId: c }, [another])).toEqual({ added: 1, removed: 1 })
  expect(await linked(org, another)).toEqual([a, c].sort())
  expect(await marks.setLinks({ holderId }, [])).toEqual({ added: 0, removed: 1 })
  expect(await linked(org, another)).toHaveLength(2)
})

race('of twenty sets at once, one is left as it was given', async () => {
  const holderId = await newHolder(org)
  const all = await newSamples(org, 22)
  const setOf = (contender: number) => all.slice(contender, contender + 3).sort()
  const { won, lost } = await contend((contender) => org.repository(Marks).setLinks({ holderId }, setOf(contender)))
  expect(lost).toEqual([])
  const added = won.reduce((sum, one) => sum + one.added, 0)
  const removed = won.reduce((sum, one) => sum + one.removed, 0)
  const left = await linked(org, holderId)
  expect(Array.from({ length: 20 }, (_, contender) => setOf(contender))).toContainEqual(left)
  expect(added - removed).toBe(3)
})

test('it is all or nothing', async () => {
  const holderId = await newHolder(org)
  const [a = '', b = ''] = await newSamples(org, 2)
  await org.repository(Marks).setLinks({ holderId }, [a])
  await expect(org.repository(Marks).setLinks({ holderId }, [b, newId()])).rejects.toThrow(BrokenReferenceError)
  expect(await linked(org, holderId)).toEqual([a])
  await org
    .transaction(async (org) => {
      expect(await org.repository(Marks).setLinks({ holderId }, [b])).toEqual({ added: 1, removed: 1 })
      throw new Error('undone')
    })
    .catch(() => undefined)
  expect(await linked(org, holderId)).toEqual([a])
})

test('it is refused at an isolation at which it would not see the links of others', async () => {
  const holderId = await newHolder(org)
  const [a = '', b = ''] = await newSamples(org, 2)
  for (const isolation of ['repeatable read', 'serializable'] as const) {
    const set = org.transaction(
      async (inner) => {
        await inner.repository(Marks).count()
        await org.repository(Marks).setLinks({ holderId }, [a])
        await inner.repository(Marks).setLinks({ holderId }, [b])
      },
      { isolation },
    )
    await expect(set).rejects.toThrow(`links cannot be set at isolation ${isolation}: use read committed`)
    expect(await linked(org, holderId)).toEqual([a])
  }
})

describe('refused', () => {
  test('for a row of another organization, a deleted one or none', async () => {
    const [theirs = ''] = await newSamples(other, 1)
    const theirHolder = await newHolder(other)
    await other.repository(Marks).link({ holderId: theirHolder, sampleId: theirs })
    const [deleted = '', mine = ''] = await newSamples(org, 2)
    await org.repository(Samples).delete(deleted)
    const holderId = await newHolder(org)
    const set = org.repository(Marks)
    for (const holderId of [theirHolder, newId()]) {
      await expect(set.setLinks({ holderId }, [mine])).rejects.toEqual(new NotFoundError('holders'))
      await expect(set.setLinks({ holderId }, [])).rejects.toEqual(new NotFoundError('holders'))
    }
    await expect(set.setLinks({ sampleId: deleted }, [holderId])).rejects.toEqual(new NotFoundError('samples'))
    for (const id of [theirs, deleted]) {
      await expect(set.setLinks({ holderId }, [id])).rejects.toThrow(BrokenReferenceError)
    }
    expect(await linked(other, theirHolder)).toEqual([theirs])
  })

  test('what is no key, and what is no list', async () => {
    const set = org.repository(Marks)
    const holderId = newId()
    const message = 'of: must have all of these fields but one: holderId, sampleId'
    for (const of of [{}, { holderId, sampleId: newId() }, { orgId: org.id }, { holderId, orgId: org.id }]) {
      await expect(set.setLinks(of as never, [])).rejects.toEqual(new InvalidInputError('of', message.slice(4)))
    }
    await expect(set.setLinks(null as never, [])).rejects.toThrow('of: must be an object')
    await expect(set.setLinks({ holderId: 'x' }, [])).rejects.toThrow('holderId: must be a UUID in lower case')
    await expect(set.setLinks({ holderId }, ['x'])).rejects.toThrow(InvalidInputError)
    await expect(set.setLinks({ holderId }, 'x' as never)).rejects.toThrow('sampleId: must be a list')
    const many = Array.from({ length: 1001 }, newId)
    await expect(set.setLinks({ holderId }, many)).rejects.toThrow('sampleId: has more than 1000 items')
  })

  test('for an actor without the permission to write, and after the end of the scope', async () => {
    const holderId = await newHolder(org)
    const { userId } = await team.join('read_only')
    const set = (await team.as(userId)).repository(Marks).setLinks({ holderId }, [])
    await expect(set).rejects.toEqual(new ForbiddenError('projects:write'))
    let ended: Org | undefined
    await org.transaction((inner) => Promise.resolve((ended = inner)))
    await expect(ended?.repository(Marks).setLinks({ holderId }, [])).rejects.toThrow(ScopeClosedError)
  })
})
