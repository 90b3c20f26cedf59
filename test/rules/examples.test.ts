import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
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
  /** The folder of the example, or that of all of them. */
  const homeOf = (file: string) => /^examples\/[^/]+\//.exec(file)?.[0] ?? dirname(file)
  const leaves = ({ file, from }: { file: string; from: string }) =>
    from.startsWith('../') && !join(dirname(file), from).startsWith(homeOf(file))
  expect(imports.filter(leaves)).toEqual([])
  expect(imports.filter(({ from }) => from === 'tenantry/testing')).toContainEqual({
    file: 'examples/demo.ts',
    from: 'tenantry/testing',
  })
})
