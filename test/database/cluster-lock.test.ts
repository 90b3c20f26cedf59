import { expect, test } from 'vitest'
import { statement } from '../../src/core/statement.js'
import { clusterLocks } from '../../src/database/cluster-lock.js'

const locksOf = clusterLocks(new Set(['platform.organizations', 'desk.teams', 'public.offices', 'Front desk.Teams']))
const isLocked = (text: string) => locksOf({ statement: statement(text), values: [] }).length > 0

test.each([
  'select from platform.organizations where id = $1 for key share',
  'select from "desk"."teams" t where t.org_id = $1 order by 1 for no key update of t',
  'with parent_3 as (select 1 from "desk"."teams" where "org_id" = $1 for share) insert into "desk"."notes" ("org_id") select $1 from parent_3',
  'with changed as (update "desk"."teams" set "a" = 1 where "org_id" = $1 returning 1) select from changed',
  'insert into "desk"."teams" ("org_id") values ($1)',
  'delete from desk.teams where org_id = $1',
  'select * from platform.add_service($1, $2, $3, $4)',
  // Tables of the schema public are written without it.
  'insert into "offices" ("org_id") values ($1)',
  'update only offices set a = 1',
  'update "Front desk"."Teams" set a = 1',
  'UPDATE Desk . Teams SET a = 1',
  'select from "desk"."notes" n, "desk"."teams" t where t.org_id = $1 for update of t',
  'merge into desk.teams t using desk.notes n on t.id = n.id when matched then delete',
  'delete from desk.notes n using desk.teams t where t.id = n.team_id and exists (select from desk.notes for share)',
])('on a cluster the lock is in front of %j', (text) => {
  expect(isLocked(text)).toBe(true)
})

test.each([
  'select from platform.organizations where id = $1',
  'select from platform.projects where org_id = $1 for update',
  'insert into "desk"."notes" ("org_id") select $1 from desk.teams',
  'update "Desk"."Teams" set a = 1',
  'select from "desk"."offices" for update',
])('no lock is in front of %j', (text) => {
  expect(isLocked(text)).toBe(false)
})

test('two tenancies with different tables decide for themselves whether a statement needs the lock', () => {
  const call = { statement: statement('update "desk"."teams" set a = 1'), values: [] }
  expect(clusterLocks(new Set())(call)).toEqual([])
  expect(locksOf(call)).toHaveLength(1)
})
