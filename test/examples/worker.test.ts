import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'
import { runWorker } from '../../examples/worker.js'
import { ConflictError } from '../../src/core/errors.js'
import { openSession } from '../../src/database/session.js'
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
    /** Sends the signal, and waits until the worker has it. */
    async stop() {
      child.kill('SIGTERM')
      await this.printed(lines.length + 1)
      expect(lines.pop()).toBe('SIGTERM: finishing what runs')
    },
    exited: once(child, 'exit') as Promise<unknown[]>,
  }
}

test('a worker that is stopped finishes what runs; the next one does the rest, and nothing twice', async () => {
  const [large, small] = [await teams.newTeam(), await teams.newTeam()]
  const statusesOf = async (kind: string) =>
    (await large.org.tasks.list({ kind, orderBy: 'id' })).items.map(({ status }) => status)
  await small.org.tasks.enqueue({ kind: 'wait', input: 20 })
  const first = startWorker()
  await first.printed(1)

  // The four in the middle cannot end before the lock is released, and keep all places of the first worker busy until it was told to stop.
  const kinds = [...Array<string>(5).fill('wait'), ...Array<string>(4).fill('count'), ...Array<string>(8).fill('wait')]
  const workflow = await small.org.workflows.create({ name: 'Work', slug: 'work' })
  const cron = { cron: '0 0 1 1 *', timezone: 'UTC' }
  const schedule = await small.org.schedules.create({ workflowId: workflow.id, name: 'yearly', ...cron })
  const admin = (sql: string, values?: unknown[]) => teams.database.admin.query(sql, values)
  // Kinds that the worker does not claim, so that all become due in one statement.
  for (const kind of kinds) await large.org.tasks.enqueue({ kind: `later ${kind}`, input: 20 })
  const { id } = await small.org.tasks.enqueue({ kind: 'later wait', input: 20 })
  const holder = await openSession({ url: teams.database.adminUrl })
  try {
    await holder.query('select pg_advisory_lock(1)')
    await admin(`create function hold() returns trigger language plpgsql
      as 'begin perform pg_advisory_xact_lock_shared(1); return new; end'`)
    await admin(`create trigger hold before update on platform.tasks for each row
      when (new.kind = 'count' and new.status = 'succeeded') execute function hold()`)
    const past = `date_trunc('second', now()) - interval '1 s'`
    await admin(
      `with due as (update platform.schedules set next_run_at = ${past} where id = $1)
       update platform.tasks set kind = replace(kind, 'later ', '')`,
      [schedule.id],
    )
    await first.printed(8)
    await expect.poll(() => statusesOf('count'), { timeout: 60_000 }).toEqual(Array(4).fill('running'))
    await first.stop()
    await holder.query('select pg_advisory_unlock(1)')
    expect(await first.exited).toEqual([0, null])
  } finally {
    await holder.close()
    await admin('drop function hold() cascade')
  }
  expect(first.lines.slice(0, 8).join()).toContain(id)
  expect(first.lines).toHaveLength(12)
  expect(await statusesOf('count')).toEqual(Array(4).fill('succeeded'))
  expect(await statusesOf('wait')).toEqual([...Array<string>(5).fill('succeeded'), ...Array<string>(8).fill('queued')])

  const second = startWorker()
  await second.printed(8)
  await second.stop()
  expect(await second.exited).toEqual([0, null])
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

type Single = (signal: AbortSignal, lines: Lines, id: string) => Promise<string>

/** Runs one task with `handler`, until the worker has logged how it ended. Returns what was logged. */
async function runOne(team: Team, handler: Single): Promise<string[]> {
  const { id } = await team.org.tasks.enqueue({ kind: 'one' })
  const stop = new AbortController()
  const lines = new Lines()
  await runWorker(teams.tenancy, {
    owner: 'worker',
    signal: stop.signal,
    idleMs: 20,
    leaseSeconds: 9,
    handlers: {
      one: (_, task, signal) =>
        task.id === id ? handler(signal, lines, task.id) : Promise.reject(new Error('another')),
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
  const lines = await runOne(team, async (signal, _, id) => {
    await team.org.tasks.cancel(id)
    if (!signal.aborted) await once(signal, 'abort')
    expect(signal.reason).toBeInstanceOf(ConflictError)
    return 'too late'
  })
  expect(lines).toEqual([expect.stringMatching(/^lost it: ConflictError/)])
})

test('work goes on when a heartbeat fails otherwise, and the next heartbeat keeps the lease', async () => {
  const team = await teams.newTeam()
  const { organizations } = teams.system()
  const lines = await runOne(team, async (signal, logged, id) => {
    const failed = once(logged, 'line')
    await organizations.suspend(team.id, 'for a moment')
    await failed
    await organizations.reactivate(team.id)
    const lease = async () => (await team.org.tasks.get(id)).leaseExpiresAt
    const before = await lease()
    await expect.poll(lease, { timeout: 60_000 }).not.toEqual(before)
    expect(signal.aborted).toBe(false)
    return 'finished'
  })
  expect(lines.at(-1)).toBe('done it')
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/^no heartbeat it: OrganizationSuspendedError/)
})

test('a worker that is woken often by tasks that end adds no listener each time', async () => {
  const { org } = await teams.newTeam()
  const waiting = 30
  for (let made = 0; made < waiting; made++) await org.tasks.enqueue({ kind: 'short' })
  const stop = new AbortController()
  const warnings: Error[] = []
  const warned = (warning: Error) => {
    if (warning.name === 'MaxListenersExceededWarning') warnings.push(warning)
  }
  let ended = 0
  process.on('warning', warned)
  try {
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
  } finally {
    process.off('warning', warned)
  }
  expect(warnings).toEqual([])
})
