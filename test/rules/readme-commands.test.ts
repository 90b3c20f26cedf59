import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runProgram } from '../../src/cli/program.js'
import { UnavailableError } from '../../src/core/errors.js'
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

const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
const nowhere = 'postgres://nobody:secret@127.0.0.1:1/nothing'

/** Runs a command line of tenantry where no database answers, and returns its complaint about the command line itself. */
async function usageFault(line: string): Promise<string | undefined> {
  const faults: string[] = []
  const bar = { at: () => undefined, done: () => undefined, failed: () => undefined }
  await runProgram(line.split(/ +/), {
    cwd: tmpdir(),
    env: { DATABASE_ADMIN_URL: nowhere, DATABASE_URL: nowhere, SYSTEM_DATABASE_URL: nowhere },
    console: () => ({
      interactive: false,
      result: () => undefined,
      line: () => undefined,
      fault: (text) => void faults.push(text),
      bar: () => bar,
      confirm: () => Promise.resolve(false),
      askSecret: () => Promise.resolve(undefined),
    }),
    open: () => Promise.reject(new UnavailableError('no database is asked here')),
    close: () => Promise.resolve(),
    stoppable: (work) => work(AbortSignal.abort()),
  })
  return faults.find((text) => text.includes('See tenantry --help'))
}

/** Why a command cannot be run as it stands: its script, file, program or option does not exist. */
async function commandFault(command: string): Promise<string | undefined> {
  const [program = '', ...args] = command.split(/ +/)
  if (program === 'npm' && args[0] === 'run') {
    return Object.hasOwn(scripts, args[1] ?? '') ? undefined : `${command}: no such script`
  }
  if (program === 'npm') return ['ci', 'install', 'test'].includes(args[0] ?? '') ? undefined : command
  if (program !== 'npx') return `${command}: no program of this package`
  if (args[0] === 'tenantry') return usageFault(args.slice(1).join(' '))
  if (!existsSync(join(root, 'node_modules/.bin', args[0] ?? ''))) return `${command}: no such program`
  return args[0] === 'tsx' && !existsSync(join(root, args[1] ?? '')) ? `${command}: no such file` : undefined
}

const pages = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md') && commandsIn(read(`docs/${name}`)).length > 0)
  .map((name) => `docs/${name}`)

test.each(pages)('%s names commands, files and options that exist', async (document) => {
  const faults = await Promise.all(commandsIn(read(document)).map(commandFault))
  expect(faults.filter((fault) => fault !== undefined)).toEqual([])
})

test('a command, a script and an option that do not exist are found', async () => {
  const wrong = ['npx tenantry audit sealed', 'npx tenantry maintain --limits 3', 'npm run benches', 'npx tsx x.ts']
  expect((await Promise.all(wrong.map(commandFault))).filter((fault) => fault === undefined)).toEqual([])
  expect(await commandFault('npx tenantry maintain --limit 3')).toBeUndefined()
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
