import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const root = join(import.meta.dirname, '../..')
const started: number[] = []
afterEach(() => {
  for (const group of started.splice(0)) process.kill(-group, 'SIGKILL')
})

/** Runs a command of the example's README. `npm` starts processes of its own, so all of them are a group. */
function run(args: readonly string[], env: Record<string, string>) {
  // Without the variables of the npm that runs the tests.
  const { PATH, HOME, TMPDIR, TENANTRY_EMBEDDED_CACHE } = process.env
  const child = spawn('npm', args, {
    cwd: root,
    env: { PATH, HOME, TMPDIR, TENANTRY_EMBEDDED_CACHE, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  return { child, lines: createInterface({ input: child.stdout }) }
}

const keysIn = (lines: readonly string[]) => lines.flatMap((line) => /^ {2}API key +(\S+)$/.exec(line)?.slice(1) ?? [])

/** What the server printed until it serves, and where it does. */
async function start(env: Record<string, string>): Promise<{ printed: string[]; at: string }> {
  const { child, lines } = run(['start', '-w', 'api-example'], { ...env, PORT: '0' })
  started.push(child.pid ?? 0)
  const printed: string[] = []
  for await (const line of lines) {
    printed.push(line)
    const [at] = /http:\/\/localhost:\d+/.exec(line) ?? []
    if (at !== undefined) return { printed, at }
  }
  throw new Error(printed.join('\n'))
}

const agents = (at: string, slug: string, key = '') =>
  fetch(`${at}/api/platform/organizations/${slug}/agents`, { headers: { authorization: `Bearer ${key}` } })

test('npm start -w api-example serves two organizations without a server, and prints what opens them', async () => {
  const { printed, at } = await start({})
  const [lancio, orbita] = keysIn(printed)
  expect((await agents(at, 'lancio', lancio)).status).toBe(200)
  expect((await agents(at, 'lancio', orbita)).status).toBe(404)
})

test("npm run seed -w api-example makes them on a server, and npm start serves them without the system's login", async () => {
  const env = { TENANTRY_KEYS: keys, DATABASE_URL: teams.database.appUrl }
  const seeding = run(['run', 'seed', '-w', 'api-example'], { ...env, SYSTEM_DATABASE_URL: teams.database.systemUrl })
  const exited = once(seeding.child, 'exit')
  const printed: string[] = []
  for await (const line of seeding.lines) printed.push(line)
  expect((await exited)[0]).toBe(0)

  const { printed: atStart, at } = await start(env)
  expect(keysIn(atStart)).toEqual([])
  expect((await agents(at, 'lancio', keysIn(printed)[0])).status).toBe(200)
})
