import { join } from 'node:path'
import ts, { sys } from 'typescript'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const file = join(import.meta.dirname, 'optional-properties.ts')

// `npm run check` compiles the same file with it.
test('what may be undefined compiles without exactOptionalPropertyTypes too', () => {
  expect(faultsOf({ exactOptionalPropertyTypes: false })).toEqual([])
})

function faultsOf(changed: ts.CompilerOptions): string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => sys.readFile(path)) as { config: object }
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [file], include: [] }, sys, root)
  const program = ts.createProgram([file], { ...options, ...changed })
  const source = program.getSourceFile(file)
  return ts
    .getPreEmitDiagnostics(program, source)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}
