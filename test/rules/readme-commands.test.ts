import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { commandsIn } from '../support/shell-commands.js'
import { root } from './planted-tree.js'

const read = (path: string) => readFileSync(join(root, path), 'utf8')

/** The titles of all tests: a test that runs a command of the documents has the command in its title. */
const titles = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .flatMap((path) => [...read(join('test', path)).matchAll(/\b(?:test|it|describe)\(\s*(['"`])(.*?)\1/gs)])
  .map(([, , title]) => title ?? '')

const stepsOfCi = [...read('.ci/run').matchAll(/^step (.+)$|^at_once (.+)$/gm)].flatMap(([, step, several = '']) =>
  step === undefined ? [...several.matchAll(/'([^']+)'/g)].map(([, command]) => command) : [step],
)

test.each(['README.md', 'CONTRIBUTING.md'])('%s names commands that CI or a test runs', (document) => {
  const commands = commandsIn(read(document))
  expect(commands).not.toEqual([])
  expect(
    commands.filter((command) => !stepsOfCi.includes(command) && !titles.some((title) => title.includes(command))),
  ).toEqual([])
})

test('a command is found with its comment and its environment taken away', () => {
  const document = [
    '```sh',
    '$ npm ci  # once',
    'A=1 B_C=x npm test',
    'export A=1',
    '',
    '# nothing',
    '```',
    '```ts',
    'npm()',
    '```',
    '```sh',
    'npm ci && npm run demo',
    '```',
  ].join('\n')
  expect(commandsIn(document)).toEqual(['npm ci', 'npm test', 'npm ci', 'npm run demo'])
})
