import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'
import { runWorker } from '../../examples/worker.js'
import { ConflictError } from '../../src/core/errors.js'
import { openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { keys, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const root = join(import.meta.dirname, '../..')
const started: ChildProcess[] = []
afterEach(() => {
  for (const child of started) child.kill('SIGKILL')
})

/** The example as a process of its own. `lines` are those that it has printed so far. */
function startWorker() {
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'examples/worker.ts')], {
    cwd: root,
    env: {
      ...process.env,
      DATABASE_URL: teams.database.appUrl,
      SYSTEM_DATABASE_URL: teams.database.systemUrl,
      TENANTRY_KEYS: keys,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  started.push(child)
  const lines: string[] = []
  let heard: (() => void) | undefined
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    heard?.()
  })
  return {
    lines,
    printed: (count: number) =>
      new Promise<void>((resolve) => {
        heard = () => {
          if (lines.length >= count) resolve()
        }
        heard()
      }),
    async stop() {
      child.kill('SIGTERM')
      const [code] = (await once(child, 'exit')) as [number]
      return code
    },
  }
}

test('a worker that is stopped finishes what runs; the next one does the rest, and nothing twice', async () => {
  const [large, small] = [await teams.newTeam(), await teams.newTeam()]
  // The four in the middle keep all places of the first worker busy while it is stopped, so that the last ones are left to the second.
  const waits = [...Array<number>(5).fill(20), ...Array<number>(4).fill(2000), ...Array<number>(8).fill(20)]
  for (const input of waits) await large.org.tasks.enqueue({ kind: 'wait', input })
  const { id } = await small.org.tasks.enqueue({ kind: 'count' })
  const workflow = await small.org.workflows.create({ name: 'Work', slug: 'work' })
  const cron = { cron: '0 0 1 1 *', timezone: 'UTC' }
  const schedule = await small.org.schedules.create({ workflowId: workflow.id, name: 'yearly', ...cron })
  await teams.database.admin.query(
    `update platform.schedules set next_run_at = date_trunc('second', now()) - interval '1 s' where id = $1`,
    [schedule.id],
  )

  const first = startWorker()
  await first.printed(7)
  expect(await first.stop()).toBe(0)
  expect(first.lines.slice(0, 7).join()).toContain(id)
  expect(first.lines.length).toBeGreaterThan(7)
  const statuses = await large.org.tasks.list({ limit: 100 })
  expect(new Set(statuses.items.map(({ status }) => status))).toEqual(new Set(['queued', 'succeeded']))

  const second = startWorker()
  await second.printed(waits.length + 2 - first.lines.length)
  expect(await second.stop()).toBe(0)
  const all = [...(await large.org.tasks.list({ limit: 100 })).items, ...(await small.org.tasks.list()).items]
  expect(all.map(({ status, attempt }) => [status, attempt])).toEqual(all.map(() => ['succeeded', 1]))
  expect([...first.lines, ...second.lines].toSorted()).toEqual(all.map((task) => `done ${task.id}`).toSorted())
  expect(await small.org.tasks.count({ scheduleId: schedule.id })).toBe(1)
})

test('a worker on the embedded database serves every organization, and fails what throws', async () => {
  const { tenancy, newOrg, close } = await openEmbeddedTenancy()
  const [one, two] = [await newOrg(), await newOrg()]
  for (let made = 0; made < 5; made++) await one.tasks.enqueue({ kind: 'count' })
  const bad = await two.tasks.enqueue({ kind: 'bad' })
  const stop = new AbortController()
  const lines: string[] = []
  await runWorker(tenancy, {
    owner: 'worker',
    signal: stop.signal,
    idleMs: 20,
    concurrency: 2,
    handlers: {
      count: (org) => org.agents.count(),
      bad: () => Promise.reject(new Error('it broke')),
    },
    log: (line) => {
      lines.push(line)
      if (lines.length === 6) stop.abort()
    },
  })
  expect(await one.tasks.count({ status: 'succeeded' })).toBe(5)
  expect(await two.tasks.get(bad.id)).toMatchObject({ status: 'failed', error: 'Error: it broke' })
  expect(lines.slice(0, 2)).toContain(`failed ${bad.id}`)
  await close()
})

/** Runs one task with `handler`, until the worker has logged how it ended. Returns what was logged. */
async function runOne(team: Team, handler: (signal: AbortSignal, lines: Lines) => Promise<string>): Promise<string[]> {
  const { id } = await team.org.tasks.enqueue({ kind: 'one' })
  const stop = new AbortController()
  const lines = new Lines()
  await runWorker(teams.tenancy, {
    owner: 'worker',
    signal: stop.signal,
    idleMs: 20,
    leaseSeconds: 3,
    handlers: {
      one: (_, task, signal) => (task.id === id ? handler(signal, lines) : Promise.reject(new Error('another'))),
    },
    log: (line) => {
      lines.add(line)
      if (/^(done|failed|lost) /.test(line)) stop.abort()
    },
  })
  return lines.all.map((line) => line.replace(id, 'it'))
}

class Lines extends EventTarget {
  readonly all: string[] = []
  add(line: string) {
    this.all.push(line)
    this.dispatchEvent(new Event('line'))
  }
}

test('work is aborted when its lease is lost', async () => {
  const team = await teams.newTeam()
  const lines = await runOne(team, async (signal) => {
    const [task] = (await team.org.tasks.list({ kind: 'one' })).items
    await team.org.tasks.cancel(task?.id ?? '')
    await once(signal, 'abort')
    expect(signal.reason).toBeInstanceOf(ConflictError)
    return 'too late'
  })
  expect(lines).toEqual([expect.stringMatching(/^lost it: ConflictError/)])
})

test('work goes on when a heartbeat fails otherwise, and the next heartbeat keeps the lease', async () => {
  const team = await teams.newTeam()
  const { organizations } = teams.system()
  const lines = await runOne(team, async (signal, logged) => {
    await organizations.suspend(team.id, 'for a moment')
    await once(logged, 'line')
    await organizations.reactivate(team.id)
    expect(signal.aborted).toBe(false)
    return 'finished'
  })
  expect(lines).toEqual([expect.stringMatching(/^no heartbeat it: OrganizationSuspendedError/), 'done it'])
})

test('a worker that is woken often by tasks that end adds no listener each time', async () => {
  const { org } = await teams.newTeam()
  const waiting = 30
  for (let made = 0; made < waiting; made++) await org.tasks.enqueue({ kind: 'short' })
  const stop = new AbortController()
  const warnings: string[] = []
  const warned = (warning: Error) => void warnings.push(warning.name)
  process.on('warning', warned)
  let ended = 0
  await runWorker(teams.tenancy, {
    owner: 'worker',
    signal: stop.signal,
    idleMs: 60_000,
    concurrency: 1,
    handlers: { short: () => Promise.resolve(null) },
    log: () => {
      ended += 1
      if (ended === waiting) stop.abort()
    },
  })
  await new Promise(setImmediate)
  process.off('warning', warned)
  expect(warnings).toEqual([])
})
