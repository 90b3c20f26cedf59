import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { plantTree, root, run } from './planted-tree.js'

test('a file, an export, a type and a dependency that nobody uses are found', async () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: object }
  const tree = plantTree({
    'package.json': JSON.stringify({ ...manifest, dependencies: { ...manifest.dependencies, 'left-over': '1.0.0' } }),
    'src/index.ts': "export { used } from './core/used.js'\n",
    'src/core/used.ts':
      'export const used = 1\nexport const idle = 2\nexport interface Idle {\n  readonly idle: true\n}\n',
    'src/core/forgotten.ts': 'export const forgotten = 1\n',
  })
  const { stdout, code } = await run(tree, 'knip/bin/knip.js', '--reporter', 'json')
  const { issues } = JSON.parse(stdout) as { issues: Record<string, { name: string }[]>[] }
  const names = (kind: string) => issues.flatMap((issue) => (issue[kind] ?? []).map(({ name }) => name))

  expect(code).toBe(1)
  expect(names('files')).toEqual(['src/core/forgotten.ts'])
  expect(names('exports')).toEqual(['idle'])
  expect(names('types')).toEqual(['Idle'])
  expect(names('dependencies')).toContain('left-over')
})
