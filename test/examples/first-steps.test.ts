import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { parseArgs } from 'node:util'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { cloneAndInstall } from '../support/cloned.js'
import { commandsIn } from '../support/shell-commands.js'
import { keys, useTeams } from '../support/use-teams.js'

// What somebody does who has cloned the repository: the commands of README.md and of the API's README, as they stand there.
const teams = useTeams()
let clone: string
const started: { child: ChildProcessByStdio<Writable, Readable, null>; exited: Promise<unknown> }[] = []

beforeAll(async () => {
  clone = await cloneAndInstall()
})
afterEach(async () => {
  for (const { child, exited } of started.splice(0)) {
    child.stdin.end()
    await exited
  }
})
afterAll(() => {
  rmSync(clone, { recursive: true })
})

const read = (path: string) => readFileSync(join(clone, path), 'utf8')

/** The shell blocks of the API's README: for a trial the start and then the calls, and for a server the seed and the start. */
const blocks = () => [...read('examples/api/README.md').matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block)

// `npm` starts processes of its own, so all of them are a group. The first process of the group reads a pipe that the test holds open.
// When the pipe closes, also because the test was killed, it kills the group.
const endWithUs = 'exec 3<&0 </dev/null; { read -r _ <&3; kill -KILL 0; } >/dev/null & exec 3<&-; exec "$@"'

/** Runs a command of a document, until it or the test ends. */
async function run(command: string, env: Record<string, string>) {
  // Without the variables of the npm that runs the tests.
  const { PATH, HOME, TMPDIR, TENANTRY_EMBEDDED_CACHE } = process.env
  const child = spawn('/bin/sh', ['-c', endWithUs, 'sh', ...command.split(' ')], {
    cwd: clone,
    env: { PATH, HOME, TMPDIR, TENANTRY_EMBEDDED_CACHE, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  // Throws where the shell cannot be started.
  await once(child, 'spawn')
  started.push({ child, exited })
  return { exited, lines: createInterface({ input: child.stdout }) }
}

/** The API key of each organization that was printed. */
const keysIn = (lines: readonly string[]) =>
  new Map([...lines.join('\n').matchAll(/^(\w+)\n {2}API key +(\S+)$/gm)].map(([, slug = '', key = '']) => [slug, key]))

/** What the server printed until it serves, and where it does. */
async function start(command: string, env: Record<string, string>): Promise<{ printed: string[]; at: string }> {
  const { lines } = await run(command, { ...env, PORT: '0' })
  const printed: string[] = []
  for await (const line of lines) {
    printed.push(line)
    const [at] = /http:\/\/localhost:\d+/.exec(line) ?? []
    if (at !== undefined) return { printed, at }
  }
  throw new Error(printed.join('\n'))
}

/** The arguments of each `curl` of a shell block, as the shell gives them. Not every machine has curl itself. */
function curlsIn(block: string): string[][] {
  const curl = `curl() { printf '%s\\0' "$@"; printf '\\n'; }`
  const called = execFileSync('sh', ['-euc', `${curl}\n${block}`], { encoding: 'utf8', env: {} })
  return called
    .trimEnd()
    .split('\n')
    .map((call) => call.split('\0').slice(0, -1))
}

async function request(args: string[]) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { header: { type: 'string', short: 'H', multiple: true }, data: { type: 'string', short: 'd' } },
  })
  const { header = [], data } = values
  const headers = header.map((line) => line.split(': ') as [string, string])
  const response = await fetch(positionals.join(), {
    headers,
    ...(data !== undefined && { method: 'POST', body: data }),
  })
  return { status: response.status, body: await response.json() }
}

test('the README begins with the installation and the demo, which CI runs in a clean clone', () => {
  const commands = commandsIn(read('README.md')).slice(0, 2)
  expect(commands).toEqual(['npm ci', 'npm run demo'])
  for (const command of commands) expect(read('.ci/run')).toMatch(new RegExp(`^(?:step|at_once) .*${command}`, 'm'))
})

test('the API starts in a clone, and with the printed keys one organization makes an agent that the other does not get', async () => {
  const [command = '', calls = ''] = blocks()
  const { printed, at } = await start(command.trim(), {})
  const found = keysIn(printed)
  expect([...found.keys()]).toEqual(['lancio', 'orbita'])
  // The keys take the place of the ellipses, and the port of the test that of the document, which another program may have.
  const block = calls
    .replace(/\b([A-Z]+)=tk_live_…/g, (_, name: string) => `${name}=${found.get(name.toLowerCase()) ?? ''}`)
    .replaceAll('localhost:3000', at)
  const answers = []
  for (const args of curlsIn(block)) answers.push(await request(args))
  expect(answers).toMatchObject([
    { status: 201, body: { username: 'grace' } },
    { status: 200, body: { items: [{ username: 'grace' }, { username: 'ada' }] } },
    { status: 404, body: { code: 'not_found' } },
    { status: 200, body: { items: [{ username: 'ada' }] } },
  ])
  expect((await fetch(at)).status).toBe(200)
  expect((await fetch(`${at}/openapi.json`)).status).toBe(200)
})

test("on a server one command makes the organizations, and another serves them without the system's login", async () => {
  const [, , onServer = ''] = blocks()
  const [seed = '', serve = ''] = commandsIn(`\`\`\`sh\n${onServer}\`\`\``)
  const env = { TENANTRY_KEYS: keys, DATABASE_URL: teams.database.appUrl }
  const seeding = await run(seed, { ...env, SYSTEM_DATABASE_URL: teams.database.systemUrl })
  const printed: string[] = []
  for await (const line of seeding.lines) printed.push(line)
  expect(await seeding.exited).toBe(0)

  const { printed: atStart, at } = await start(serve, env)
  expect(keysIn(atStart).size).toBe(0)
  const headers = { authorization: `Bearer ${keysIn(printed).get('lancio') ?? ''}` }
  expect((await fetch(`${at}/api/platform/organizations/lancio/agents`, { headers })).status).toBe(200)
})
