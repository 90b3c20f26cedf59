import { beforeAll, describe, expect, test } from 'vitest'
import { authenticationFunctions } from '../../src/access/authentication-functions.js'
import { createFunction, type SqlFunction } from '../../src/access/sql-function.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'

// Row security does not apply to the functions that authenticate. The owner has planted rows that differ in nothing but the organization
// or the person, and each condition on these must be needed.
const database = useDatabase()
const id = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
const [key, session] = [id(1), id(2)]
const hash = String.raw`'\x01'::bytea`
let [ours, theirs, me, other] = ['', '', '', '']

beforeAll(async () => {
  const { admin } = database
  const plant = async (texts: string) => {
    for (const text of texts.split(';').filter((one) => one.trim() !== '')) await admin.query(text)
  }
  ;[ours, theirs] = [await createOrganization(admin), await createOrganization(admin)]
  ;[me, other] = [await createUser(admin), await createUser(admin)]
  for (const org of [theirs, ours]) {
    const permission = org === ours ? 'agents:read' : 'tasks:read'
    const inProjects = org === ours ? 'agents:write' : 'tasks:write'
    await plant(`
      insert into platform.roles (org_id, id, key, name, applies_to) values
        ('${org}', '${id(3)}', 'worker', 'Worker', 'organization'), ('${org}', '${id(4)}', 'builder', 'Builder', 'project');
      insert into platform.role_permissions (org_id, role_key, permission) values
        ('${org}', 'worker', '${permission}'), ('${org}', 'builder', '${inProjects}');
      insert into platform.projects (org_id, id, name, slug, ref) values ('${org}', '${id(5)}', 'P', 'p', 'ref-${org}');`)
    for (const [number, person] of [other, me].entries()) {
      await plant(`
        insert into platform.organization_members (org_id, id, user_id, email, role)
          values ('${org}', '${id(10 + number)}', '${person}', '${person}@example.com', 'worker');
        insert into platform.project_members (org_id, id, project_id, user_id, role)
          values ('${org}', '${id(20 + number)}', '${id(5)}', '${person}', 'builder');`)
    }
    await plant(`
      insert into platform.api_keys (org_id, id, user_id, auth_epoch, name, key_prefix, key_hash, pepper_id, last_four, scopes, rate_limit_per_hour)
        values ('${org}', '${key}', '${me}', 0, '${org}', 'tk', ${hash}, 'test', 'last', '{agents:read,agents:write,tasks:read,tasks:write}', 5);
      insert into platform.api_key_windows (org_id, api_key_id, window_start, used, allowed)
        values ('${org}', '${key}', date_trunc('hour', now(), 'UTC'), 1, 5);`)
  }
  for (const person of [other, me]) {
    await plant(`
      insert into platform.user_sessions (user_id, id, token_hash, pepper_id, active_org_id, active_org_epoch, expires_at, idle_expires_at, last_activity_at)
        values ('${person}', '${session}', ${hash}, 'test', '${ours}', 0, now() + interval '1 day', now() + interval '1 day', now() - interval '1 hour')`)
  }
})

const organization = (change: string) => `update platform.organizations set ${change} where id = '${ours}'`
const member = (change: string) =>
  `update platform.organization_members set ${change} where org_id = '${ours}' and user_id = '${me}'`
const role = (name: string) =>
  `update platform.roles set deleted_at = now() where org_id = '${ours}' and key = '${name}'`
const noProjects = () => `delete from platform.project_members where org_id = '${ours}' and user_id = '${me}'`

/** What the owner changes of ours before the call. */
const situations: Readonly<Record<string, () => string>> = {
  'all is well': () => 'select',
  'the key is revoked': () => `update platform.api_keys set status = 'revoked' where org_id = '${ours}'`,
  'the session is revoked': () => `update platform.user_sessions set revoked_at = now() where user_id = '${me}'`,
  'the person is suspended': () => `update platform.users set status = 'suspended' where id = '${me}'`,
  'the organization is suspended': () => organization("status = 'suspended'"),
  'the member is inactive': () => member("status = 'inactive'"),
  'the role is deleted': () => role('worker'),
  'the role in projects is deleted': () => role('builder'),
  'the person is in no project': noProjects,
  'the person is in no project, and nobody else in the organization': () =>
    `delete from platform.project_members where org_id = '${ours}'`,
}

/** Everything that authentication may touch, with whose it is. */
const touched = `
  select 'key', org_id::text, (last_used_at is not null)::text from platform.api_keys
  union all select 'window', org_id::text, used::text from platform.api_key_windows
  union all select 'session', user_id::text, (last_activity_at > now() - interval '1 minute')::text from platform.user_sessions
  order by 1, 2`

/** The answer and what it touched in each situation, where the function is this one. */
async function outcomes(fn: SqlFunction): Promise<unknown[]> {
  const { admin } = database
  const isKey = fn.signature.includes('api_key')
  const call = isKey
    ? `select platform.accept_api_key(array[${hash}], 'test') as answer`
    : `select platform.accept_session('${session}', array[${hash}], '10 minutes') as answer`
  const found: unknown[] = []
  for (const [situation, change] of Object.entries(situations)) {
    await admin.query('begin')
    await admin.query(createFunction(fn).replace('create ', 'create or replace '))
    await admin.query(change())
    if (!isKey || situation !== 'the organization is suspended') {
      await admin.query(isKey ? `select platform.enter_org('${ours}')` : `select platform.enter_user('${me}')`)
      found.push(
        await admin.query<{ answer: string | null }>(call).then(
          async (rows) => [situation, rows.map(({ answer }) => withoutTimes(answer)), await admin.query(touched)],
          // As for two rows in place of one.
          (error: unknown) => [situation, String(error)],
        ),
      )
    }
    await admin.query('rollback')
  }
  return found
}

/** The end of the session or of the hour, and the seconds until then, are others in each run. */
const withoutTimes = (answer: string | null) =>
  answer?.split('\n').map((line) => (/^\d{4}-\d\d-\d\d |^\d{1,4}$/.test(line) ? line.slice(0, 1) : line)) ?? null

const condition = /\b\w+\.(?:org_id|user_id|id) = (?:bound_org|found_org|found_person|me|\w+\.(?:org_id|user_id))\b/g

describe.each(authenticationFunctions.map((fn) => [fn.signature, fn] as const))('%s', (signature, fn) => {
  const isKey = signature.includes('api_key')

  test('answers of the bound owner alone, and touches nothing of another', async () => {
    const [first, ...others] = (await outcomes(fn)) as [string, (string[] | null)[], Record<string, string>[]][]
    expect(first?.[1][0]).toEqual(expect.arrayContaining(['agents:read', `{"${id(5)}": ["agents:write"]}`]))
    expect(JSON.stringify([first, others].map((one) => one?.[1]))).not.toContain('tasks:')
    const rows = (first?.[2] ?? []).map((row) => Object.values(row))
    const changed = isKey
      ? [
          ['key', ours, 'true'],
          ['window', ours, '2'],
        ]
      : [['session', me, 'true']]
    for (const row of changed) expect(rows).toContainEqual(row)
    expect(rows.filter((row) => row[2] === 'true' || row[2] === '2')).toHaveLength(changed.length)
  })

  const conditions = [...fn.body.matchAll(condition)]

  test.each(conditions.map(({ 0: text, index }) => [text, index] as const))('needs %s at %i', async (text, index) => {
    const body = `${fn.body.slice(0, index)}true${fn.body.slice(index + text.length)}`
    expect(await outcomes({ ...fn, body })).not.toEqual(await outcomes(fn))
  })
})
