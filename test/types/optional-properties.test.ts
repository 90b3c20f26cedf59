import { expect, test } from 'vitest'
import { root, run } from '../rules/planted-tree.js'

// `npm run check` compiles the same file with it.
test('what may be undefined compiles without exactOptionalPropertyTypes too', async () => {
  const ended = await run(root, 'typescript-7/bin/tsc', '-p', 'test/types/tsconfig.loose.json')
  expect(ended).toEqual({ code: 0, stdout: '', stderr: '' })
})
