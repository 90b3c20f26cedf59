// `npx tsx scripts/adopt-under-load.ts --form team --rows 100000 --kills-each 2`: takes a schema through every step of `tenantry adopt` and back, while
// writers work and the program is killed at random moments. Ends with 1 if a row was lost or changed, if a writer was refused, or if in some step
// 1 of 100 writes waited longer than a lock may be waited for.
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openSession } from '../src/database/session.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase } from '../src/testing/template.js'
import { type Form, forms } from './adoption-forms.js'
import { KilledProgram, root, verdictOf, Writers } from './load.js'
import { migratePlatform } from './migrate-platform.js'
import { numbersFrom } from './seeded-numbers.js'

const { values: asked } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    writers: { type: 'string', default: '4' },
    'kills-each': { type: 'string', default: '2' },
    form: { type: 'string', default: 'owner' },
    seed: { type: 'string', default: '1' },
  },
})
const rows = Number(asked.rows)

const form = forms[asked.form]
if (form === undefined) throw new Error(`--form must be ${Object.keys(forms).join(' or ')}`)

const random = numbersFrom(Number(asked.seed))

execFileSync(process.execPath, [join(root, 'scripts/build.js')], { cwd: root })
const server = await startTestServer({ migrate: migratePlatform })
const database = await createTestDatabase(server.template)
const folder = await mkdtemp(join(tmpdir(), 'tenantry-load-'))
let failed = false

const { writes } = form
const writers = new Writers(database.adminUrl, Number(asked.writers), (client, number, turn) => {
  // Some writes after the first are about the same row.
  const own = rows + 1 + (number % Number(asked.writers)) + Number(asked.writers) * Math.trunc(turn / writes.length)
  return client.query(writes[turn % writes.length] ?? '', [own, 1 + Math.trunc(random() * rows)])
})
const program = new KilledProgram(writers, {
  folder,
  env: { DATABASE_ADMIN_URL: database.adminUrl },
  killsEach: Number(asked['kills-each']),
  random,
})
const take = (...args: readonly string[]) => program.take('adopt', ...args)
const run = (...args: readonly string[]) => program.run('adopt', ...args)

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
  writers.step = 'before'
  writers.start()
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
  await writers.stop()
  const after = await digest(form)
  failed = verdictOf(
    [
      // The writers bind no organization, which `contract` asks for.
      ...writers.faults((message) => message.endsWith('no organization is bound')),
      ...(after === before ? [] : [`lost or changed:\n${before}\n${after}`]),
    ],
    program.kills,
    after,
  )
} finally {
  await writers.stop()
  await rm(folder, { recursive: true })
  await database.close()
  await server.stop()
}
process.exitCode = failed ? 1 : 0
