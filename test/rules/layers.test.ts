import { expect, test } from 'vitest'
import { plantTree, run } from './planted-tree.js'

const faces = ['org', 'user', 'system']
const folders = [
  ...['schema/shared', 'schema', 'core', 'database', 'encryption', 'repositories', 'operations'],
  ...['access', 'migrations', 'lint', 'http', 'testing', 'cli'],
]
const layers = [...folders, ...faces, 'tenancy', 'config', 'hono', 'openfeature']

/** The whole order of the layers: what each may import, itself included. */
const allowed: Record<string, readonly string[]> = {
  'schema/shared': ['schema/shared'],
  schema: ['schema', 'schema/shared'],
  core: ['core', 'schema/shared'],
  database: ['database', 'core', 'schema/shared'],
  encryption: ['encryption', 'core'],
  repositories: ['core', 'schema', 'schema/shared', 'encryption'],
  operations: ['operations', 'repositories', 'core', 'schema', 'schema/shared'],
  org: ['operations', 'repositories', 'core', 'schema', 'schema/shared'],
  user: ['operations', 'repositories', 'core', 'schema', 'schema/shared'],
  system: ['operations', 'repositories', 'core', 'schema', 'schema/shared'],
  tenancy: [
    ...faces,
    'operations',
    'database',
    'access',
    'encryption',
    'migrations',
    'schema',
    'schema/shared',
    'core',
  ],
  http: ['http', 'operations', 'core'],
  hono: ['http', 'tenancy', 'org', 'user', 'operations', 'core'],
  openfeature: ['org', 'operations', 'core'],
  config: [],
  access: ['access', 'database', 'core', 'schema', 'schema/shared'],
  migrations: ['migrations', 'access', 'database', 'core', 'schema', 'schema/shared'],
  lint: ['lint', 'schema', 'schema/shared'],
  testing: layers,
  cli: layers,
}

const importerOf = (layer: string) => (folders.includes(layer) ? `src/${layer}/importer.ts` : `src/${layer}.ts`)
const importedOf = (layer: string) => importerOf(layer).replace('importer', 'imported')

/** `import` lines of a file, with paths from the root of the project. */
function importing(file: string, ...targets: string[]): string {
  const up = '../'.repeat(file.split('/').length - 1)
  return targets.map((target) => `import './${up}${target.replace(/ts$/, 'js')}'\n`).join('')
}

interface Summary {
  readonly violations: readonly { from: string; to: string; rule: { name: string } }[]
  readonly ruleSetUsed: { forbidden: readonly { name: string }[] }
}

async function cruise(files: Record<string, string>): Promise<Summary> {
  const args = ['src', '--output-type', 'json', '--config', '.dependency-cruiser.js']
  const { stdout } = await run(plantTree(files), 'dependency-cruiser/bin/dependency-cruise.mjs', ...args)
  return (JSON.parse(stdout) as { summary: Summary }).summary
}

test('a layer imports what its row of the order allows, and nothing else', async () => {
  const files: Record<string, string> = {}
  const forbidden: string[] = []
  for (const layer of layers) {
    const others = layers.filter((other) => importedOf(other) !== importerOf(layer))
    files[importedOf(layer)] ??= 'export {}\n'
    files[importerOf(layer)] = importing(importerOf(layer), ...others.map(importedOf))
    forbidden.push(
      ...others.filter((other) => !allowed[layer]?.includes(other)).map((other) => `${layer} -> ${importedOf(other)}`),
    )
  }

  const { violations } = await cruise(files)
  const found = violations.filter(({ rule }) => rule.name.startsWith('layer-'))
  const layerOf = (file: string) => layers.find((layer) => importerOf(layer) === file) ?? file
  expect(found.map(({ from, to }) => `${layerOf(from)} -> ${to}`).sort()).toEqual(forbidden.sort())
})

const planted: Record<string, { refused: string; content: string }> = {
  'definitions-import-definitions': { refused: 'src/schema/agents.ts', content: "import 'uuid'\n" },
  'nobody-imports-the-index': { refused: 'src/cli/index-reader.ts', content: "import '../index.js'\n" },
  'every-folder-is-a-layer': { refused: 'src/jobs/nightly.ts', content: "import 'zod'\n" },
  'src-stands-alone': { refused: 'src/testing/borrower.ts', content: "import '../../test/borrowed.js'\n" },
  'no-development-dependency': { refused: 'src/core/arbitrary.ts', content: "import 'fast-check'\n" },
  'optional-peers-on-demand': { refused: 'src/database/eager.ts', content: "import '@electric-sql/pglite'\n" },
  'nobody-imports-a-framework': { refused: 'src/testing/served.ts', content: "import '../hono.js'\n" },
  'generation-on-demand': { refused: 'src/migrations/migrator.ts', content: "import './generation/snapshot.js'\n" },
  'nothing-undeclared': { refused: 'src/core/lucky.ts', content: "import 'dockerode'\n" },
  'no-cycle': { refused: 'src/core/egg.ts', content: "import './hen.js'\n" },
}

const harmless = {
  'src/index.ts': 'export {}\n',
  'src/hono.ts': 'export {}\n',
  'src/openfeature.ts': 'export {}\n',
  'test/borrowed.ts': 'export {}\n',
  'src/core/hen.ts': "import './egg.js'\n",
  'src/database/lazy.ts':
    "import type { PGlite } from '@electric-sql/pglite'\nexport const open = (): Promise<{ PGlite: typeof PGlite }> => import('@electric-sql/pglite')\n",
  'src/migrations/generation/snapshot.ts': "import 'drizzle-kit/api'\n",
  'src/cli/new.ts': "export const snapshots = () => import('../migrations/generation/snapshot.js')\n",
  'src/schema/plain.ts': "import 'node:crypto'\nimport 'drizzle-orm/pg-core'\nimport 'zod'\n",
}

test('each of the other rules refuses the file planted for it', async () => {
  const files = Object.values(planted).map(({ refused, content }) => [refused, content] as const)
  const { violations, ruleSetUsed } = await cruise({ ...harmless, ...Object.fromEntries(files) })

  const blamed = violations.map(({ from, rule }) => `${rule.name}: ${from}`).filter((line) => !line.includes('hen.ts'))
  expect(blamed.sort()).toEqual(
    Object.entries(planted)
      .map(([rule, { refused }]) => `${rule}: ${refused}`)
      .sort(),
  )
  const others = ruleSetUsed.forbidden.map((rule) => rule.name).filter((name) => !name.startsWith('layer-'))
  expect(Object.keys(planted).sort()).toEqual(others.sort())
})
