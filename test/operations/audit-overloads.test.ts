import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { useAuditChains } from '../support/use-audit-chains.js'

const { sql, audit, newLog, teams } = useAuditChains()

// Whoever may create in `public` can offer an overload that fits a call better than the function of Postgres.
beforeAll(async () => {
  const hidden = `replace(t, 'mallory', 'somebody')`
  for (const statement of [
    `create function public.convert_to(t text, e text) returns bytea language sql as $$ select pg_catalog.convert_to(pg_catalog.${hidden}, 'UTF8'::name) $$`,
    `create function public.jsonb_build_object(k text, v jsonb) returns jsonb language sql as $$ select '{"nothing": "to see"}'::jsonb $$`,
    `create function public.to_jsonb(v text) returns jsonb language sql as $$ select '"nothing"'::jsonb $$`,
    `create function public.concat_ws(a text, b text, c text) returns text language sql as $$ select 'nothing' $$`,
    `create function public.joined(int, text) returns text language sql as $$ select 'nothing' $$`,
    `create operator public.|| (leftarg = int, rightarg = text, function = public.joined)`,
    `create function public.never(varchar, varchar) returns boolean language sql as $$ select true $$`,
    `create operator public.= (leftarg = varchar, rightarg = varchar, function = public.never)`,
    `grant execute on all functions in schema public to public`,
  ])
    await sql(statement)
})

test('an overload in public changes no entry', async () => {
  const team = await newLog()
  const { id } = await team.org.agents.create({ name: 'Mallory', username: 'mallory' })
  await team.org.agents.update(id, { name: 'Eve' })
  const entries = await sql<{ changes: object }>(
    `select changes from platform.audit_logs where org_id = $1 order by created_at, id`,
    [team.id],
  )
  expect(entries[0]?.changes).toMatchObject({ name: { new: 'Mallory' }, username: { new: 'mallory' } })
  expect(entries[1]?.changes).toEqual({ name: { old: 'Mallory', new: 'Eve' } })
})

test('an overload in public hides no change of an entry from verify', async () => {
  const team = await newLog()
  await team.org.audit.record({ eventType: 'payment.approved', metadata: { by: 'mallory' } })
  await audit().seal(team.id)
  await sql(`update platform.audit_logs set metadata = '{"by": "somebody"}' where org_id = $1`, [team.id])
  expect((await audit().verify(team.id)).broken).toMatchObject([{ fault: 'edited', seq: 1 }])
})

test('an overload in public changes no count of what a master key has signed', async () => {
  const team = await newLog()
  await team.org.audit.record({ eventType: 'payment.approved' })
  await audit().seal()
  const [signed] = await sql<{ count: number }>(
    'select count(*)::int as count from platform.audit_logs where hash is not null',
  )
  expect(await teams.system().keys.status()).toMatchObject([{ id: 'test', auditEntries: signed?.count }])
})

/** Functions that take arguments of any type, or of another type than text for a literal. */
const anyType =
  /(?<![\w.$])(?:concat_ws|array_agg|jsonb?_\w+|to_jsonb|octet_length|convert_to|make_interval|date_trunc|current_setting|get_byte|uuid_send|to_regclass|strpos|lower|count\(distinct)\(/
const oneList = /(?<![\w.$])unnest\([^,()]*\)/

test('the statements of the library name the schema of functions that an overload could fit better', () => {
  const source = join(import.meta.dirname, '../../src')
  const files = ['core', 'operations', 'repositories'].flatMap((folder) =>
    readdirSync(join(source, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name)),
  )
  expect(files.length).toBeGreaterThan(100)
  const found = files.flatMap((file) =>
    readFileSync(join(source, file), 'utf8')
      .split('\n')
      .filter((line) => !/^\s*(?:\/?\*|\/\/)/.test(line) && (anyType.test(line) || oneList.test(line)))
      .map((line) => `${file}: ${line.trim()}`),
  )
  expect(found).toEqual([])
})
