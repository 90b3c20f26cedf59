import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts, { sys } from 'typescript'
import { expect, test } from 'vitest'

const file = join(import.meta.dirname, 'surface.ts')
const source = readFileSync(file, 'utf8')

/** What an editor shows when the pointer rests on the last name of `text`. */
const hover = editor()

test.each([
  ['reads(org', '(parameter) org: Org'],
  ['const repository', 'const repository: Agents'],
  ['org.agents', '(property) Org.agents: Agents'],
  ['const found', 'const found: Agent | undefined'],
  ['const agent', 'const agent: Agent'],
  ['const page', 'const page: Page<Task>'],
  [
    'org.agents.find',
    '(method) ScopedRepository<Agent, AgentRelations>.find(id: string): Query<Agent | undefined> (+2 overloads)',
  ],
  ['org.agents.create', '(method) Agents.create(values: NewAgent): Query<Agent>'],
  ['const listed', 'const listed: Page<Agent & {\n    readonly project: Project | null;\n}>'],
  ['const counts', 'const counts: CountOf<Task, "status">[]'],
  ['const values', 'const values: NewAgent'],
  ['make.agent', '(method) Factories.agent(values?: Given<NewAgent>): Promise<Agent>'],
  ['const filled', 'const filled: Agent'],
  ['const viewer', 'const viewer: Org'],
  ['const behindKey', 'const behindKey: MiddlewareHandler<AuthenticatedEnv>'],
  ['c.var.org.agents', '(property) Org.agents: Agents'],
  ['const named', 'const named: NamedSites'],
  [
    'this.appendRows',
    '(method) ScopedRepository<Agent, object>.appendRows(schema: z.ZodType, inputs: readonly unknown[], options?: ManagedValues): Query<number>',
  ],
])('%s prints short', (text, shown) => {
  expect(hover(text)).toBe(shown)
})

test('a defined repository shows the fields of its rows, and nothing of how Drizzle describes the table', () => {
  expect(hover('const sites')).toMatch(/^const sites: DefinedRepository<.*\borgId: string;/s)
  expect(hover('const sites')).not.toContain('PgColumn')
})

test('a row of a defined repository shows what was included, and nothing of how Drizzle describes the table', () => {
  expect(hover('const assistant')).toMatch(/ & \{\s+readonly home: Open<.* \| null;\s+readonly jobs: Open<.*\[\];/s)
  expect(hover('const assistant')).not.toContain('PgColumn')
  expect(hover('const assistants')).toMatch(/^const assistants: Page<Open<\{.* & \{\s+readonly jobs: /s)
})

function editor(): (text: string) => string {
  const root = join(import.meta.dirname, '../..')
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => sys.readFile(path)) as { config: object }
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [file], include: [] }, sys, root)
  const service = ts.createLanguageService({
    ...sys,
    useCaseSensitiveFileNames: () => sys.useCaseSensitiveFileNames,
    getCurrentDirectory: () => root,
    getCompilationSettings: () => options,
    getScriptFileNames: () => [file],
    getScriptVersion: () => '0',
    getScriptSnapshot: (path) => {
      const text = sys.readFile(path)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getDefaultLibFileName: (given) => ts.getDefaultLibFilePath(given),
  })
  return (text) => {
    const position = source.indexOf(text) + text.length - 1
    const parts = service.getQuickInfoAtPosition(file, position)?.displayParts
    return ts.displayPartsToString(parts)
  }
}
