import { ESLint, type Linter } from 'eslint'
import { expect, test } from 'vitest'
import { root } from './planted-tree.js'

const eslint = new ESLint({ cwd: root })

/** The rules that are broken by a file with this text. The path is a file that exists, because rules that ask for types need it. */
async function broken(text: string, filePath = 'src/core/errors.ts'): Promise<string[]> {
  const [result] = await eslint.lintText(text, { filePath })
  return [...new Set(result?.messages.map((message) => message.ruleId ?? message.message))]
}

const planted: Record<string, string> = {
  'max-lines': 'export const lines = [\n' + '  1,\n'.repeat(399) + ']\n',
  'no-restricted-syntax': 'export class AgentManager {\n  readonly agents = []\n}\n',
  eqeqeq: 'export const same = (a: number, b: number) => a == b\n',
  'no-console': "console.log('said')\n",
  '@typescript-eslint/no-empty-object-type': 'export interface Anything {}\n',
  '@typescript-eslint/restrict-template-expressions': 'export const text = (value: object) => `${value}`\n',
  '@typescript-eslint/consistent-type-imports': "import { Pool } from 'pg'\nexport const take = (pool: Pool) => pool\n",
  '@typescript-eslint/no-non-null-assertion': 'export const sure = (a: { b?: string }) => a.b!\n',
}

test.each(Object.entries(planted))('%s', async (rule, text) => {
  expect(await broken(text)).toContain(rule)
})

test('what the rules leave free', async () => {
  const free = 'export interface Agent extends Record<string, string> {}\nexport const text = (n: number) => `${n}`\n'
  expect(await broken(free)).toEqual([])
  expect(await broken('export const lines = [\n' + '  1,\n'.repeat(398) + ']\n')).toEqual([])
})

test('every rule that is set here has its violation above', async () => {
  const { default: config } = (await import(`${root}/eslint.config.js`)) as { default: Linter.Config[] }
  const own = config.filter((part) => !part.name?.startsWith('typescript-eslint/'))
  const rules = own.flatMap((part) => Object.entries(part.rules ?? {}))
  expect(Object.keys(planted).sort()).toEqual(rules.flatMap(([rule, level]) => (level === 'off' ? [] : rule)).sort())
})
