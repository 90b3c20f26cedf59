// `npx tsx scripts/carry-under-load.ts --rows 100000 --kills-each 2`: takes an earlier platform of twenty-eight tables through every step of `tenantry adopt
// platform` and back, while writers work and the program is killed at random moments. Ends with 1 if a row or a secret was lost or changed, if
// a writer was refused before the swap, or if in some step 1 of 100 writes waited longer than a lock may be waited for.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openSession } from '../src/database/session.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase } from '../src/testing/template.js'
import { rowsOf } from '../test/support/adopting.js'
import { makeEarlierPlatform } from '../test/support/earlier-platform.js'
import { KilledProgram, root, verdictOf, Writers } from './load.js'
import { migratePlatform } from './migrate-platform.js'
import { numbersFrom } from './seeded-numbers.js'

const { values: asked } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    writers: { type: 'string', default: '4' },
    'kills-each': { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
  },
})
const schema = 'before'
const random = numbersFrom(Number(asked.seed))

/** `$1` is a number of the writer's own, and `$2` one that chooses a row. */
const writes = [
  `insert into ${schema}.organizations (name, slug) select 'New ' || $1::int, 'new-' || $1::int where $2::int % 50 = 0`,
  `insert into ${schema}.projects (organization_id, name, slug, ref, database_host, database_name, database_user, database_password, postgres_meta_url, supabase_url)
   select id, 'New', 'new-' || $1::int, 'new' || lpad($1::text, 8, '0'), 'h', 'd', 'u', 'secret ' || $1, 'm', 's' from ${schema}.organizations where slug = '${schema}-' || 1 + $2::int % 10`,
  `insert into ${schema}.invoices (organization_id, amount_due, status) select id, $1::int % 100, 'open' from ${schema}.organizations where slug = '${schema}-' || 1 + $2::int % 10`,
  `update ${schema}.projects set database_password = 'rotated ' || $1::int where ref = 'ref' || lpad((1 + $2::int % 1000)::text, 8, '0')`,
  `update ${schema}.credentials set jwt_secret = 'rotated ' || $1::int where project_id = (select id from ${schema}.projects where ref = 'ref' || lpad((1 + $2::int % 1000)::text, 8, '0'))`,
  `update ${schema}.users set email = 'moved' || $1::int || '@example.com' where username = 'Person-${schema}-' || 1 + $2::int % 10`,
  `delete from ${schema}.projects where ref = 'new' || lpad((greatest(0, $1::int - 400))::text, 8, '0') and $2::int % 3 = 0`,
]

execFileSync(process.execPath, [join(root, 'scripts/build.js')], { cwd: root })
const server = await startTestServer({ migrate: migratePlatform })
const database = await createTestDatabase(server.template)
const folder = await mkdtemp(join(tmpdir(), 'tenantry-load-'))
let failed = false

const writers = new Writers(database.adminUrl, Number(asked.writers), (client, number, turn) =>
  client.query(writes[turn % writes.length] ?? '', [number, Math.trunc(random() * 1_000_000)]),
)
const program = new KilledProgram(writers, {
  folder,
  env: { DATABASE_ADMIN_URL: database.adminUrl, TENANTRY_KEYS: `load:${Buffer.alloc(32, 7).toString('base64')}` },
  killsEach: Number(asked['kills-each']),
  random,
})
const take = (step: string, ...args: readonly string[]) =>
  program.take('adopt', 'platform', step, '--schema', schema, ...args)

try {
  const session = await openSession({ url: database.adminUrl })
  await makeEarlierPlatform(session, { schema, isLarge: true }, Number(asked.rows))
  await session.query('analyze')
  writers.start()
  await pause(3000)
  await take('analyse')
  await take('expand')
  await take('backfill')
  await take('prove')
  await take('swap')
  const closed = await rowsOf(session, schema)
  await take('contract')
  const [clear] = await session.query<{ rows: number }>(
    `select count(*)::int as rows from ${schema}.projects where database_password not like 'sealed %'`,
  )
  await program.run('adopt', 'platform', 'down', '--schema', schema, '--yes')
  const after = await rowsOf(session, schema)
  await program.run('adopt', 'platform', 'down', '--schema', schema, '--yes')
  await pause(1000)
  await writers.stop()
  const open = await rowsOf(session, schema)
  for (const step of ['prove', 'backfill', 'expand']) {
    writers.step = `down from ${step}`
    await program.run('adopt', 'platform', 'down', '--schema', schema, '--yes')
  }
  const same = (one: object, other: object) => JSON.stringify(one) === JSON.stringify(other)
  failed = verdictOf(
    [
      ...writers.faults((message) => message.includes('is closed: its rows are in the tables of tenantry')),
      ...(clear?.rows === 0 ? [] : [`${clear?.rows} passwords are in clear after contract`]),
      ...(same(closed, after) ? [] : ['contract and its way back changed a row']),
      ...(same(open, await rowsOf(session, schema)) ? [] : ['the way back changed a row']),
    ],
    program.kills,
    JSON.stringify(closed),
  )
  await session.close()
} finally {
  await writers.stop()
  await rm(folder, { recursive: true })
  await database.close()
  await server.stop()
}
process.exitCode = failed ? 1 : 0
