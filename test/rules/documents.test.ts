import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { plantTree, root, run } from './planted-tree.js'

const read = (path: string) => readFileSync(join(root, path), 'utf8')

test('a reference that is out of date, a method without a doc comment and code that does not compile are found', async () => {
  const tree = plantTree({}, ['scripts', 'src', 'docs/reference', 'examples/your-own-tables'])
  const agents = read('src/repositories/agents.ts').replace('activate(id: string)', 'awaken(id: string)')
  writeFileSync(join(tree, 'src/repositories/agents.ts'), agents)
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
  expect(stderr).toContain("README.md:5: Property 'fetch' does not exist on type 'Agents'.")
  expect(stderr).not.toContain('README.md:4')
  expect(stderr).not.toContain('docs/reference/errors.md')
})

test('the reference says when errors are thrown, and has the options with their defaults', () => {
  expect(read('docs/reference/errors.md')).toContain('has not enough credit of that currency left.\n')
  expect(read('docs/reference/options.md')).toContain('`retries?: number`: How often the whole function may run again')
})
