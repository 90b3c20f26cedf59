import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { getTableConfig } from 'drizzle-orm/pg-core'
import { platformTables } from '../../src/schema/tables.js'
import { plantTree, root, run } from './planted-tree.js'

const read = (path: string) => readFileSync(join(root, path), 'utf8')

test('a reference that is out of date, a method without a doc comment and code that does not compile are found', async () => {
  const tree = plantTree({}, ['scripts', 'src', 'docs/reference', 'docs/schema.md', 'examples/your-own-tables'])
  const agents = read('src/repositories/agents.ts').replace('activate(id: string)', 'awaken(id: string)')
  writeFileSync(join(tree, 'src/repositories/agents.ts'), agents)
  const workflows = read('src/schema/workflows.ts').replace("text('name')", "text('title')")
  writeFileSync(join(tree, 'src/schema/workflows.ts'), workflows)
  writeFileSync(
    join(tree, 'README.md'),
    '# A title\n\n```ts\nawait org.agents.get(id)\nawait org.agents.fetch(id)\n```\n',
  )
  const { code, stderr } = await run(tree, 'tsx/dist/cli.mjs', 'scripts/documents.ts')
  expect(code).toBe(1)
  expect(stderr).toContain('Agents.awaken is public and has no doc comment')
  expect(stderr).toContain(
    'docs/reference/repositories.md is not what the types say: run `npx tsx scripts/documents.ts --write`',
  )
  expect(stderr).toContain('docs/schema.md is not what the types say')
  expect(stderr).toContain("README.md:5: Property 'fetch' does not exist on type 'Agents'.")
  expect(stderr).not.toContain('README.md:4')
  expect(stderr).not.toContain('docs/reference/errors.md')
})

test('the reference says when errors are thrown, and has the options with their defaults', () => {
  expect(read('docs/reference/errors.md')).toContain('has not enough credit of that currency left.\n')
  expect(read('docs/reference/options.md')).toContain('`retries?: number`: How often the whole function may run again')
})

test('the reference shows short signatures, and no private name', () => {
  const pages = readdirSync(join(root, 'docs/reference')).map((name) => read(`docs/reference/${name}`))
  const signatures = pages.flatMap((text) => [...text.matchAll(/^- `([^`]+)`/gm)].map(([, code = '']) => code))
  expect(signatures.length).toBeGreaterThan(300)
  expect(signatures.filter((code) => code.length > 300 || code.startsWith('#'))).toEqual([])
  expect(read('docs/reference/repositories.md')).toContain('options?: ListOptions<Agent> & PageContent<Name, Total>')
})

test('every table is in one diagram, and a diagram has ten tables at most', () => {
  const diagrams = [...read('docs/schema.md').matchAll(/^```mermaid\n(.*?)^```/gms)].map(([, text = '']) =>
    [...text.matchAll(/^ {2}(\w+) \{$/gm)].map(([, name]) => name),
  )
  const names = platformTables.map((table) => getTableConfig(table).name)
  expect(diagrams.flat().toSorted()).toEqual(names.toSorted())
  expect(diagrams.filter(({ length }) => length > 10)).toEqual([])
})
