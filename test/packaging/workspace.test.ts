import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { definitionsOf } from './editor.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'
import { copyPackage, root, run, writeLock } from './installed.js'

vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 })

const emptyDatabase = useEmptyDatabases()
const monorepo = mkdtempSync(join(tmpdir(), 'tenantry-monorepo-'))
const app = join(monorepo, 'app')
const library = join(monorepo, 'packages/tenantry')
// Not by npx, which would build the package again: the example is a workspace inside of it.
const main = join(library, 'dist/cli/main.js')
const stale = join(library, 'dist/core/stale.js')

beforeAll(async () => {
  cpSync(join(root, 'test/fixtures/monorepo'), monorepo, { recursive: true })
  copyPackage(library)
  writeLock(monorepo)
  await run(monorepo, 'npm', 'i', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts')
  mkdirSync(join(library, 'dist/core'), { recursive: true })
  writeFileSync(stale, '')
  // As `prepare` does it, once for all tests: it takes longer than they do.
  await run(library, 'node', 'scripts/build.js')
})
afterAll(() => {
  rmSync(monorepo, { recursive: true })
})

describe('a workspace that imports the package by name', () => {
  test('compiles against its types and runs', async () => {
    const said = await run(app, 'npm', 'start', '--silent')
    expect(JSON.parse(said)).toEqual({
      sql: 'select "name" from "platform"."agents" where "platform"."agents"."username" = $1',
      params: ['ada'],
      error: { code: 'not_found', message: 'agents: not found' },
      bench: 'function',
    })
  })

  test.each(['drizzle-orm', 'pg', 'zod'])('has one copy of %s, the same as the package', (peer) => {
    const tree = readFileSync(join(monorepo, 'node_modules/.package-lock.json'), 'utf8')
    const places = Object.keys((JSON.parse(tree) as { packages: object }).packages)
    expect(places.filter((place) => place.endsWith(`node_modules/${peer}`))).toEqual([`node_modules/${peer}`])
    const [ours, theirs] = [library, app].map((from) => createRequire(join(from, 'package.json')).resolve(peer))
    expect(theirs).toBe(ours)
  })

  test('finds the command', async () => {
    expect(await run(app, 'npx', 'tenantry', '--help')).toContain('tenantry migrate')
  })

  test('leads an editor to the source', async () => {
    const places = {
      NotFoundError: ['src/core/errors.ts', 'export class NotFoundError'],
      toJSON: ['src/core/errors.ts', 'toJSON()'],
      newAgent: ['src/schema/agents.ts', 'export const newAgent'],
      find: ['src/core/scoped-repository.ts', 'find(id: string)'],
      startTestServer: ['src/testing/server.ts', 'function startTestServer'],
    }
    expect(await definitionsOf(join(app, 'main.ts'), Object.keys(places))).toEqual(
      Object.values(places).map(([file = '', line = '']) => ({
        file: join(library, file),
        line: expect.stringContaining(line) as string,
      })),
    )
  })
})

test('the example with a table of its own is sound, and migrates beside the library', async () => {
  const example = join(library, 'examples/your-own-tables')
  cpSync(join(root, 'examples/your-own-tables'), example, { recursive: true })
  expect(await run(example, process.execPath, main, 'check')).toContain('tables are sound')
  const { url } = await emptyDatabase()
  const migrated = await run(example, 'env', `DATABASE_ADMIN_URL=${url}`, process.execPath, main, 'migrate', 'up')
  expect(migrated).toMatch(/0010_add_lease_token applied[^]*0000_tickets applied/)
})

test('a build leaves nothing of an earlier one, and the command can be executed', () => {
  expect(existsSync(stale)).toBe(false)
  expect(statSync(join(library, 'dist/cli/main.js')).mode & 0o111).toBe(0o111)
})

test('without TypeScript the dist that is there stays, and a missing one is an error', async () => {
  const bare = mkdtempSync(join(tmpdir(), 'tenantry-bare-'))
  try {
    for (const path of ['package.json', 'scripts', 'dist'])
      cpSync(join(library, path), join(bare, path), { recursive: true })
    expect(await run(bare, 'node', 'scripts/build.js')).toContain('dist stays as it is')
    expect(existsSync(join(bare, 'dist/index.js'))).toBe(true)

    rmSync(join(bare, 'dist'), { recursive: true })
    await expect(run(bare, 'node', 'scripts/build.js')).rejects.toThrow('dist is not built')
  } finally {
    rmSync(bare, { recursive: true })
  }
})

test('the packed files are what an application needs', async () => {
  const [packed] = JSON.parse(await run(library, 'npm', 'pack', '--dry-run', '--json', '--ignore-scripts')) as [
    { files: { path: string }[] },
  ]
  const files = packed.files.map(({ path }) => path)
  const folders = new Set(files.map((path) => path.split('/')[0]))
  expect([...folders].sort()).toEqual(['LICENSE', 'dist', 'docs', 'drizzle', 'package.json', 'src'])

  const manifest = JSON.parse(readFileSync(join(library, 'package.json'), 'utf8')) as {
    bin: Record<string, string>
    exports: Record<string, string | Record<string, string>>
  }
  const named = [manifest.bin, ...Object.values(manifest.exports)].flatMap((entry) =>
    typeof entry === 'string' ? entry : Object.values(entry),
  )
  expect(files).toEqual(expect.arrayContaining(named.map((path) => path.replace('./', ''))))
  const migrations = readdirSync(join(root, 'drizzle')).filter((file) => file.endsWith('.sql'))
  expect(files).toEqual(expect.arrayContaining(migrations.map((file) => `drizzle/${file}`)))
  expect(files).toContain('drizzle/meta/_journal.json')
  const documents = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    /\.\w+$/.test(file),
  )
  expect(files).toEqual(expect.arrayContaining(documents.map((file) => `docs/${file}`)))
  expect(files.filter((path) => path.endsWith('_snapshot.json') || path.includes('.test.'))).toEqual([])
})
