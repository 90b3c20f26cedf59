import { expect, test } from 'vitest'
import { canBeNamed, infersTypes } from '../../src/core/parameter-types.js'

test.each([
  'select 1',
  'select $1::int, $12::text[]',
  'select "a" from "t" where "org_id" = $1 and "t"."id" = $2 and agent_id = $3',
  'update t set "name" = $2::text where "org_id" = $1 and "id" = $3',
  'update t set "name" = $2::text from u on u.id = $1',
])('%j may be prepared under a name', (text) => {
  expect(canBeNamed(text)).toBe(true)
})

test.each([
  'select $1',
  'select $1::int, $2',
  'select "a" from "t" where "a" = $1',
  'select "a" from "t" where "paid" = $1',
  'select "a" from "t" where "id" > $1',
  'select "a" from "t" where "id" in ($1, $2)',
  'select "a" from "t" limit $1',
  'update "t" set "agent_id" = $1',
  'update "t" set "a" = 1, "agent_id" = $1 where "id" = $2',
  'with a as (update t set b = 1 where id = $1) update u SET other_id = $2',
  'insert into "t" ("id") values ($1)',
])('%j may not', (text) => {
  expect(canBeNamed(text)).toBe(false)
})

test('an organization’s id stays a uuid, any other id may have had another type', () => {
  expect(infersTypes('select from t where "org_id" = $1 and a = $2::int')).toBe(false)
  expect(infersTypes('select from t where "org_id" = $1 and "id" = $2')).toBe(true)
  expect(infersTypes('select from t where other_org_id = $1')).toBe(true)
})

test('a text of any length is answered', () => {
  for (const filling of ['"id" = $1 or ', '$1 ', 'set ', 'a', '$']) {
    expect(typeof canBeNamed(filling.repeat(200_000)), filling).toBe('boolean')
    expect(typeof infersTypes(filling.repeat(200_000)), filling).toBe('boolean')
  }
})
