import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from './planted-tree.js'

const isOurs = (path: string) => /\.(ts|js|md)$/.test(path) && !/(^|\/)(node_modules|dist)\//.test(path)
const files = [
  'README.md',
  ...['docs', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(isOurs)
      .map((path) => `${folder}/${path}`),
  ),
]

test('the examples and the documents import tenantry by its name, and nothing of its folders', () => {
  expect(files).toContain('examples/demo.ts')
  const imports = files.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)/g)].map((found) => ({
      file,
      from: found[1] ?? found[2] ?? '',
    })),
  )
  expect(imports.filter(({ from }) => from.startsWith('../'))).toEqual([])
  expect(imports.filter(({ from }) => from === 'tenantry/testing')).toContainEqual({
    file: 'examples/demo.ts',
    from: 'tenantry/testing',
  })
})
