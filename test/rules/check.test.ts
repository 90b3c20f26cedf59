import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runSteps, type Step } from '../../scripts/run-steps.js'
import { plantTree, run } from './planted-tree.js'

const check = (tree: string, ...steps: string[]) => run(tree, 'tsx/dist/cli.mjs', 'scripts/check.ts', ...steps)

test('all faults stand at the end, and one of them fails the whole', async () => {
  const lines: string[] = []
  const steps: Step[] = [
    { name: 'bad', run: () => 'a fault' },
    { name: 'broken', run: () => Promise.reject(new Error('no such program')) },
    { name: 'good', run: () => '' },
  ]
  expect(await runSteps(steps, 2, (line) => lines.push(line))).toBe(false)
  expect(
    lines
      .slice(0, 3)
      .map((line) => line.split(/ +/).slice(0, 2).join(' '))
      .sort(),
  ).toEqual(['FAILED bad', 'FAILED broken', 'ok good'])
  expect(lines.slice(3).sort()).toEqual(['\n--- bad\na fault', '\n--- broken\nError: no such program'])
  expect(await runSteps(steps.slice(2), 2, () => undefined)).toBe(true)
})

test('types, format and names are checked', async () => {
  const tree = plantTree(
    {
      'src/core/wrong-type.ts': "export const count: number = 'three'\n",
      'src/core/possibly-missing.ts': 'export const first = (words: string[]): string => words[0]\n',
      'src/core/semicolon.ts': 'export const count = 3;\n',
      'src/core/helpers.ts': 'export const count = 3\n',
    },
    ['scripts'],
  )
  const { code, stdout } = await check(tree, 'types', 'format', 'names')
  expect(code).toBe(1)
  expect(stdout).toMatch(/FAILED +types/)
  expect(stdout).toContain('src/core/wrong-type.ts(1,14): error TS2322')
  expect(stdout).toContain('src/core/possibly-missing.ts(1,51): error TS2322')
  expect(stdout).toMatch(/FAILED +format/)
  expect(stdout).toContain('src/core/semicolon.ts (')
  expect(stdout).toMatch(/FAILED +names/)
  expect(stdout).toContain('src/core/helpers.ts: says nothing')
})

test('a definition without its migration is found, a renamed one too', async () => {
  const tree = plantTree({}, ['scripts', 'src', 'drizzle'])
  expect(await check(tree, 'migrations')).toMatchObject({ code: 0 })

  const agents = join(tree, 'src/schema/agents.ts')
  writeFileSync(agents, readFileSync(agents, 'utf8').replace("text('instructions')", "text('guidance')"))
  appendFileSync(agents, "export const notes = platform.table('agent_notes', { id: id() })\n")
  const { code, stdout } = await check(tree, 'migrations')
  expect(code).toBe(1)
  expect(stdout).toContain('table platform.agent_notes is in the definitions and in no migration')
  expect(stdout).toContain('column guidance is in the definitions and in no migration')
  expect(stdout).toContain('column instructions is in the migrations and not in the definitions')
})

test('a step that does not exist is not taken for one that passed', async () => {
  const { code, stderr } = await check(plantTree({}, ['scripts']), 'lints')
  expect(code).toBe(2)
  expect(stderr).toContain('There is no lints')
})
