import { expect, test } from 'vitest'
import { statement } from '../../src/core/statement.js'
import { clusterLock } from '../../src/database/cluster-lock.js'

const everywhere = new Set(['platform.organizations', 'desk.teams'])
const isLocked = (text: string) => clusterLock({ statement: statement(text), values: [] }, everywhere).length > 0

test.each([
  'select from platform.organizations where id = $1 for key share',
  'select from "desk"."teams" t where t.org_id = $1 order by 1 for no key update of t',
  'with parent_3 as (select 1 from "desk"."teams" where "org_id" = $1 for share) insert into "desk"."notes" ("org_id") select $1 from parent_3',
  'with changed as (update "desk"."teams" set "a" = 1 where "org_id" = $1 returning 1) select from changed',
  'insert into "desk"."teams" ("org_id") values ($1)',
  'delete from desk.teams where org_id = $1',
  'select * from platform.add_service($1, $2, $3, $4)',
])('on a cluster the lock is in front of %j', (text) => {
  expect(isLocked(text)).toBe(true)
})

test.each([
  'select from platform.organizations where id = $1',
  'select from platform.projects where org_id = $1 for update',
  'insert into "desk"."notes" ("org_id") select $1 from desk.teams',
])('no lock is in front of %j', (text) => {
  expect(isLocked(text)).toBe(false)
})
