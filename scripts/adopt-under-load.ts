// `npx tsx scripts/adopt-under-load.ts --form team --rows 100000 --kills 20`: takes a schema through every step of `tenantry adopt` and back, while
// writers work and the program is killed at random moments. Ends with 1 if a row was lost or changed, if a writer was refused, or if in some step
// 1 of 100 writes waited longer than a lock may be waited for.
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
import { type Form, forms } from './adoption-forms.js'
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
/** The default of `--lock-timeout`, and 100 ms for the work of a statement. */
const longestWait = 500 + 100

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
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()))
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
    // The program takes half a second to start, and most statements come soon after.
    if ((await adopt(args, 450 + random() ** 2 * 1500)) === null) kills += 1
  }
  const begun = performance.now()
  await run(...args)
  console.log(`${step}: the last run took ${Math.round(performance.now() - begun)} ms`)
}

/** Runs a command that is not killed. */
async function run(...args: readonly string[]): Promise<void> {
  step = args.join(' ')
  const code = await adopt(args)
  if (code !== 0) throw new Error(`adopt ${step} ended with ${code}`)
}

/** The rows that were there, without what the adoption adds, and without those of the writers. */
async function digest({ tables }: Form): Promise<string> {
  const session = await openSession({ url: database.adminUrl })
  const found: string[] = []
  for (const [table, number] of Object.entries(tables)) {
    const [row] = await session.query<{ digest: string }>(
      `select count(*) || ' ' || sum(hashtextextended((to_jsonb(t) - 'org_id')::text, 0)::numeric) as digest from ${table} t where ${number} <= $1`,
      [rows],
    )
    found.push(`${table} ${row?.digest ?? ''}`)
  }
  await session.close()
  return found.join(', ')
}

/** Prints how long writers waited in each step. Returns what should not have happened to them. */
function faultsOfWriters(): string[] {
  const faults: string[] = []
  for (const [name, all] of waits) {
    const sorted = all.toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.trunc(sorted.length * share))] ?? 0
    console.log(
      `${name}: ${sorted.length} writes, median ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms, longest ${at(1).toFixed(1)} ms`,
    )
    if (at(0.99) > longestWait) faults.push(`${name}: p99 is above ${longestWait} ms`)
  }
  for (const [message, count] of refused) {
    console.log(`refused ${count} times: ${message}`)
    // The writers bind no organization, which `contract` asks for.
    if (!message.endsWith('no organization is bound')) faults.push(`a writer was refused: ${message}`)
  }
  return faults
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
  await run('verify', '--before')
  step = 'before'
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
  await run('verify')
  for (const { tag } of steps.entries.toReversed().slice(1)) await take('down', '--yes', '--to', tag.slice(5))
  await take('down', '--yes', '--all')
  await run('verify')
  isOver = true
  await Promise.all(writers)
  const after = await digest(form)
  const faults = [...faultsOfWriters(), ...(after === before ? [] : [`lost or changed:\n${before}\n${after}`])]
  console.log(`killed ${kills} times`)
  console.log(faults.length === 0 ? `every row is as it was: ${after}` : `FAULTS\n${faults.join('\n')}`)
  failed = faults.length > 0
} finally {
  isOver = true
  await rm(folder, { recursive: true })
  await database.close()
  await server.stop()
}
process.exitCode = failed ? 1 : 0
