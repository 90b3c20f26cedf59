import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Decisions } from '../../src/adoption/decisions.js'
import { plan, type StepName } from '../../src/adoption/plan.js'
import { readPlan, type WrittenPlan, writePlan } from '../../src/adoption/plan-folder.js'
import { fillRows, takeStep, undoSteps } from '../../src/adoption/run-step.js'
import { openSession, type Session } from '../../src/database/session.js'

/** Each statement of a script of which the lines of one statement belong together. */
export const statementsOf = (script: string): string[] =>
  script
    .split(/;\n/)
    .map((text) => text.trim())
    .filter((text) => text !== '')

/** A session of the owner that is closed after the test. */
export async function ownerSession(url: string): Promise<Session> {
  const session = await openSession({ url })
  onTestFinished(() => session.close())
  return session
}

export interface Adoption {
  readonly session: Session
  readonly plan: WrittenPlan
  readonly take: (...names: readonly StepName[]) => Promise<void>
  readonly fill: typeof fillRows extends (session: Session, plan: WrittenPlan, ...rest: infer Rest) => infer Filled
    ? (...rest: Rest) => Filled
    : never
  readonly undo: (to?: StepName) => Promise<void>
}

/** Plans the adoption of a schema into a folder of its own. */
export async function adopting(url: string, schema: string, decisions: Partial<Decisions> = {}): Promise<Adoption> {
  const session = await ownerSession(url)
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-adopt-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  return adoptionIn(folder, session, schema, decisions)
}

/** The same with a session and a folder that the caller closes and removes. */
export async function adoptionIn(
  folder: string,
  session: Session,
  schema: string,
  decisions: Partial<Decisions> = {},
): Promise<Adoption> {
  await writePlan(folder, await plan(session, { version: 1, schema, organizations: null, tables: {}, ...decisions }))
  const written = await readPlan(folder)
  return {
    session,
    plan: written,
    async take(...names) {
      for (const name of names) await takeStep(session, written, name)
    },
    fill: (...rest) => fillRows(session, written, ...rest),
    async undo(to) {
      await undoSteps(session, written, to === undefined ? { all: true } : { to })
    },
  }
}

/** Every table of a schema with its columns, keys, indexes, triggers and policies, and what is said of them, as text. */
export async function catalogOf(session: Session, schema: string): Promise<string[]> {
  const rows = await session.query<{ line: string }>(
    `select line from (
       select c.relname || ' column ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
         || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
       from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
       union all
       select c.relname || ' constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid) || ' ' || k.convalidated
       from pg_constraint k join pg_class c on c.oid = k.conrelid where k.connamespace = $1::regnamespace and k.contype <> 'n'
       union all
       select 'index ' || pg_get_indexdef(x.indexrelid) || ' ' || x.indisvalid from pg_index x join pg_class c on c.oid = x.indrelid
       where c.relnamespace = $1::regnamespace
       union all
       select 'trigger ' || pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
       where c.relnamespace = $1::regnamespace and not t.tgisinternal
       union all
       select c.relname || ' policy ' || p.polname || ' ' || p.polcmd::text || p.polpermissive || p.polroles::text
         || coalesce(pg_get_expr(p.polqual, p.polrelid), '') || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') from pg_policy p
       join pg_class c on c.oid = p.polrelid where c.relnamespace = $1::regnamespace
       union all
       select c.relname || ' row security ' || c.relrowsecurity from pg_class c where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p')
       union all
       select c.relname || ' granted ' || a.grantee::regrole || ' ' || a.privilege_type from pg_class c cross join aclexplode(c.relacl) a
       where c.relnamespace = $1::regnamespace and a.grantee <> c.relowner
       union all
       select c.relname || '.' || t.attname || ' granted ' || a.grantee::regrole || ' ' || a.privilege_type from pg_class c
       join pg_attribute t on t.attrelid = c.oid cross join aclexplode(t.attacl) a where c.relnamespace = $1::regnamespace
       union all
       select 'usage ' || a.grantee::regrole from pg_namespace n cross join aclexplode(n.nspacl) a
       where n.oid = $1::regnamespace and a.grantee not in (0, n.nspowner)
       union all
       select d.classoid::regclass || ' comment on ' || (pg_identify_object(d.classoid, d.objoid, d.objsubid)).identity || ' ' || d.description
       from pg_description d where (pg_identify_object(d.classoid, d.objoid, d.objsubid)).schema = $1::regnamespace::text
         or exists (select from pg_depend p join pg_class c on c.oid = p.refobjid where p.classid = d.classoid and p.objid = d.objoid
           and p.refclassid = 'pg_class'::regclass and c.relnamespace = $1::regnamespace)
       union all
       select c.relname || ' kept ' || coalesce(c.reloptions::text, '') || coalesce(' in ' || s.spcname, '') || ' ' || c.relreplident::text
         || case when x.indisclustered then ' clustered' else '' end
       from pg_class c left join pg_tablespace s on s.oid = c.reltablespace left join pg_index x on x.indexrelid = c.oid
       where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'i', 'I')
         and (c.reloptions is not null or s.oid is not null or x.indisclustered or c.relreplident not in ('d', 'n'))
       union all
       select c.relname || '.' || a.attnum || ' statistics ' || a.attstattarget
       from pg_attribute a join pg_class c on c.oid = a.attrelid
       where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p', 'i') and a.attstattarget >= 0 and not a.attisdropped
       union all
       select 'function ' || p.oid::regprocedure from pg_proc p where p.pronamespace = $1::regnamespace
     ) lines order by line`,
    [schema],
  )
  return rows.map(({ line }) => line)
}

/** A digest of all rows of a schema, with their positions in a table left out. */
export async function rowsOf(session: Session, schema: string): Promise<Record<string, string>> {
  const tables = await session.query<{ name: string }>(
    `select c.relname as name from pg_class c where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p') order by 1`,
    [schema],
  )
  const rows: Record<string, string> = {}
  for (const { name } of tables) {
    const [row] = await session.query<{ digest: string }>(
      `select count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' order by t::text)), '') as digest from "${schema}"."${name}" t`,
    )
    rows[name] = row?.digest ?? ''
  }
  return rows
}
