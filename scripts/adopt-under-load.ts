// `npx tsx scripts/adopt-under-load.ts --rows 100000 --kills 20`: takes a schema through every step of `tenantry adopt` and back, while writers
// work and the program is killed at random moments; says how long writers waited in each step, and whether any row was lost or changed.
import { execFileSync, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { openSession } from '../src/database/session.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase } from '../src/testing/template.js'
import { migratePlatform } from './migrate-platform.js'
import { numbersFrom } from './seeded-numbers.js'

const { values: asked } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    writers: { type: 'string', default: '4' },
    kills: { type: 'string', default: '20' },
    form: { type: 'string', default: 'owner' },
    seed: { type: 'string', default: '1' },
  },
})
const rows = Number(asked.rows)

interface Form {
  readonly tables: readonly string[]
  /** Makes the tables in the schema `public`. `n` is the number of rows of the largest ones. */
  readonly script: string
  readonly decisions: object
  /** One change by a writer; `$1` is a number of its own beyond all rows, `$2` one of a row that was there. */
  readonly writes: readonly string[]
}

const triggers = `
create function touch() returns trigger language plpgsql as 'begin new.updated_at := now(); return new; end';
create trigger touched before update on tasks for each row execute function touch()`

const forms: Readonly<Record<string, Form>> = {
  owner: {
    tables: ['projects', 'workflows', 'tasks'],
    script: `
create table teams (id int primary key, name text not null);
create table projects (id int primary key, team_id int not null references teams on delete cascade, slug text not null unique);
create table workflows (id int primary key, project_id int not null references projects on delete cascade, name text);
create table tasks (id int primary key, workflow_id int references workflows on delete set null, project_id int not null references projects,
  parent_id int references tasks, title text, price numeric, updated_at timestamptz not null default '2026-01-01');
create index tasks_workflow on tasks (workflow_id);
create view open_tasks as select * from tasks where title <> '';${triggers};
insert into teams select i, 'Team ' || i from generate_series(1, n / 1000 + 1) i;
insert into projects select i, 1 + i % (n / 1000 + 1), 'p' || i from generate_series(1, n / 100 + 1) i;
insert into workflows select i, 1 + i % (n / 100 + 1), 'w' || i from generate_series(1, n) i;
insert into tasks select i, w.id, w.project_id, null, 't' || i, i / 7.0 from generate_series(1, n) i join workflows w on w.id = i`,
    decisions: {},
    writes: [
      `insert into tasks (id, workflow_id, project_id, title) select $1, w.id, w.project_id, 'new' from workflows w where w.id = $2`,
      `update tasks set workflow_id = (select min(w.id) from workflows w where w.project_id = tasks.project_id and $2::int > 0) where id = $1`,
      `insert into workflows (id, project_id, name) select $1, w.project_id, 'new' from workflows w where w.id = $2`,
      `update tasks set title = 'changed' where id = $1 and $2::int > 0`,
      `delete from tasks where id = $1 and $2::int % 3 = 0`,
    ],
  },
  constant: {
    tables: ['workflows', 'tasks', 'schedules'],
    script: `
create table workflows (id serial primary key, name text not null unique);
create table tasks (id int primary key, workflow_id int not null references workflows, title text, updated_at timestamptz not null default '2026-01-01');
create table schedules (id int primary key, workflow_id int not null references workflows on delete cascade, cron text not null);${triggers};
insert into workflows (name) select 'w' || i from generate_series(1, n) i;
insert into tasks select i, i, 't' || i from generate_series(1, n) i;
insert into schedules select i, i, '* * * * *' from generate_series(1, n) i`,
    decisions: { organizations: { constant: { name: 'Acme', slug: 'acme' } } },
    writes: [
      `insert into tasks (id, workflow_id, title) values ($1, $2, 'new')`,
      `insert into schedules (id, workflow_id, cron) values ($1, $2, '0 0 * * *')`,
      `update tasks set title = 'changed' where id = $1 and $2::int > 0`,
      `delete from schedules where id = $1 and $2::int % 3 = 0`,
    ],
  },
}
const form = forms[asked.form]
if (form === undefined) throw new Error(`--form must be ${Object.keys(forms).join(' or ')}`)

const random = numbersFrom(Number(asked.seed))

const root = join(import.meta.dirname, '..')
execFileSync(process.execPath, [join(root, 'scripts/build.js')], { cwd: root })
const server = await startTestServer({ migrate: migratePlatform })
const database = await createTestDatabase(server.template)
const folder = await mkdtemp(join(tmpdir(), 'tenantry-load-'))
let failed = false

/** Waits in milliseconds of the writers, by the step that was running. */
const waits = new Map<string, number[]>()
let step = 'before'
let isOver = false
const refused = new Map<string, number>()

async function write(writer: number, { writes }: Form): Promise<void> {
  const client = new pg.Client({ connectionString: database.adminUrl })
  await client.connect()
  for (let turn = 0; !isOver; turn++) {
    const own = rows + 1 + writer + Number(asked.writers) * Math.trunc(turn / writes.length)
    const begun = performance.now()
    const during = step
    try {
      await client.query(writes[turn % writes.length] ?? '', [own, 1 + Math.trunc(random() * rows)])
    } catch (error) {
      const message = `${during}: ${(error as Error).message}`
      refused.set(message, (refused.get(message) ?? 0) + 1)
    }
    const waited = waits.get(during) ?? []
    waited.push(performance.now() - begun)
    waits.set(during, waited)
    await pause(2)
  }
  await client.end()
}

/** Runs a command, and ends it with SIGKILL after a moment if `killAfter` is given. Returns its exit code. */
function adopt(args: readonly string[], killAfter?: number): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'adopt', ...args], {
      cwd: folder,
      env: { PATH: process.env.PATH, DATABASE_ADMIN_URL: database.adminUrl },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (text: Buffer) => (said += text.toString()))
    const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter)
    child.once('close', (code) => {
      clearTimeout(timer)
      if (code !== 0 && code !== null) console.log(`adopt ${args.join(' ')}: ${said.trim()}`)
      resolve(code)
    })
  })
}

let kills = 0
async function take(...args: readonly string[]): Promise<void> {
  step = args.join(' ')
  const each = Number(asked.kills) / 10
  for (let kill = 0; kill < each; kill++) {
    if ((await adopt(args, 300 + random() * 1500)) === null) kills += 1
  }
  const begun = performance.now()
  const code = await adopt(args)
  if (code !== 0) throw new Error(`adopt ${step} ended with ${code}`)
  console.log(`${step}: the last run took ${Math.round(performance.now() - begun)} ms`)
}

/** The rows that were there, without what the adoption adds, and without those of the writers. */
async function digest({ tables }: Form): Promise<string> {
  const session = await openSession({ url: database.adminUrl })
  const found: string[] = []
  for (const table of tables) {
    const [row] = await session.query<{ digest: string }>(
      `select count(*) || ' ' || sum(hashtextextended((to_jsonb(t) - 'org_id')::text, 0)::numeric) as digest from ${table} t where id <= $1`,
      [rows],
    )
    found.push(`${table} ${row?.digest ?? ''}`)
  }
  await session.close()
  return found.join(', ')
}

try {
  const session = await openSession({ url: database.adminUrl })
  for (const statement of form.script.replaceAll(/\bn\b/g, asked.rows).split(/;\n/)) await session.query(statement)
  await session.query('analyze')
  await session.close()
  const before = await digest(form)
  await writeFile(
    join(folder, 'tenantry.adopt.json'),
    JSON.stringify({ version: 1, schema: 'public', organizations: null, tables: {}, ...form.decisions }),
  )
  const writers = Array.from({ length: Number(asked.writers) }, (_, writer) => write(writer, form))
  await pause(3000)
  await take('analyse')
  await take('plan')
  const steps = JSON.parse(await readFile(join(folder, 'adopt/meta/_journal.json'), 'utf8')) as {
    entries: readonly { tag: string }[]
  }
  for (const { tag } of steps.entries) {
    const name = tag.slice(5)
    // The writers are the owner, whom nobody observes.
    await take(name, ...(name === 'enforce' ? ['--min-transactions', '0'] : []))
    if (name === 'expand') await take('backfill')
  }
  for (const { tag } of steps.entries.toReversed().slice(1)) await take('down', '--yes', '--to', tag.slice(5))
  await take('down', '--yes', '--all')
  isOver = true
  await Promise.all(writers)
  const after = await digest(form)
  failed = after !== before
  console.log(failed ? `LOST OR CHANGED\n${before}\n${after}` : `every row is as it was: ${after}`)
  console.log(`killed ${kills} times`)
  for (const [name, all] of waits) {
    const sorted = all.toSorted((a, b) => a - b)
    const at = (share: number) =>
      (sorted[Math.min(sorted.length - 1, Math.trunc(sorted.length * share))] ?? 0).toFixed(1)
    console.log(`${name}: ${sorted.length} writes, median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`)
  }
  for (const [message, count] of refused) console.log(`refused ${count} times: ${message}`)
} finally {
  isOver = true
  await rm(folder, { recursive: true })
  await database.close()
  await server.stop()
}
process.exitCode = failed ? 1 : 0
