import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { plantTree, root, run } from './planted-tree.js'

/** A violation of each rule whose setting is this project's own, and of some of those that ask for types. */
const planted: Record<string, string> = {
  'max-lines': 'export const lines = [\n' + '  1,\n'.repeat(399) + ']\n',
  eqeqeq: 'export const same = (a: number, b: number) => a == b\n',
  'no-console': "console.log('said')\n",
  'typescript/ban-ts-comment': '// @ts-expect-error short\nexport const count: number = "three"\n',
  'typescript/consistent-type-imports': "import { Pool } from 'pg'\nexport const take = (pool: Pool) => pool\n",
  'typescript/no-empty-object-type': 'export interface Anything {}\n',
  'typescript/no-floating-promises': 'export const forget = (work: Promise<void>) => {\n  work\n}\n',
  'typescript/no-misused-promises': 'export const each = (all: string[]) => {\n  all.forEach(async () => {})\n}\n',
  'typescript/no-non-null-assertion': 'export const sure = (a: { b?: string }) => a.b!\n',
  'typescript/no-unnecessary-condition': 'export const name = (a: { b: string }) => a.b ?? "none"\n',
  'typescript/no-unsafe-assignment': 'export const parsed: string[] = [JSON.parse("1")]\n',
  'typescript/restrict-template-expressions': 'export const text = (value: object) => `${value}`\n',
  'typescript/return-await':
    'export const sure = async (work: Promise<void>) => {\n  try {\n    return work\n  } finally {\n    await work\n  }\n}\n',
}

const free: Record<string, string> = {
  'src/core/free.ts':
    'export interface Agent extends Record<string, string> {}\nexport const text = (n: number) => `${n}`\n',
  'src/core/long.ts': 'export const lines = [\n' + '  1,\n'.repeat(398) + ']\n',
  'src/cli/says.ts': "console.log('said')\n",
}

test('each rule refuses the file planted for it, and what the rules leave free passes', async () => {
  const files = Object.entries(planted).map(([rule, text]) => [`src/core/${rule.replace('/', '-')}.ts`, text] as const)
  const tree = plantTree({ ...Object.fromEntries(files), ...free })
  const { stdout, code } = await run(tree, 'oxlint/bin/oxlint', '--disable-nested-config', '--format', 'json', 'src')
  expect(code).toBe(1)
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] }
  const refused = new Set(diagnostics.map(({ code: rule, filename }) => `${filename}: ${rule}`))
  // A rule is reported with its plugin, as in eslint(eqeqeq) and typescript(array-type).
  const expected = Object.keys(planted).map((rule) => {
    const [plugin = '', name] = rule.includes('/') ? rule.split('/') : ['eslint', rule]
    return `src/core/${rule.replace('/', '-')}.ts: ${plugin}(${name})`
  })
  expect([...refused]).toEqual(expect.arrayContaining(expected))
  expect([...refused].filter((line) => Object.keys(free).some((file) => line.startsWith(file)))).toEqual([])
})

test('every rule with options of its own has its violation above', () => {
  const text = readFileSync(join(root, '.oxlintrc.json'), 'utf8').replaceAll(/^\s*\/\/.*$/gm, '')
  const { rules } = JSON.parse(text) as { rules: Record<string, unknown> }
  const withOptions = Object.keys(rules).filter((rule) => Array.isArray(rules[rule]))
  expect(withOptions.filter((rule) => !Object.hasOwn(planted, rule))).toEqual([])
})
