import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'
import { runWorker } from '../../examples/worker.js'
import { openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { keys, useTeams } from '../support/use-teams.js'

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
  for (let made = 0; made < 24; made++) await large.org.tasks.enqueue({ kind: 'wait', input: 100 })
  const { id } = await small.org.tasks.enqueue({ kind: 'count' })
  const workflow = await small.org.workflows.create({ name: 'Work', slug: 'work' })
  const cron = { cron: '0 0 1 1 *', timezone: 'UTC' }
  const schedule = await small.org.schedules.create({ workflowId: workflow.id, name: 'yearly', ...cron })
  await teams.database.admin.query(
    `update platform.schedules set next_run_at = date_trunc('second', now()) - interval '1 s' where id = $1`,
    [schedule.id],
  )

  const first = startWorker()
  await first.printed(6)
  expect(await first.stop()).toBe(0)
  expect(first.lines.slice(0, 6).join()).toContain(id)
  const statuses = await large.org.tasks.list({ limit: 100 })
  expect(new Set(statuses.items.map(({ status }) => status))).toEqual(new Set(['queued', 'succeeded']))

  const second = startWorker()
  await second.printed(26 - first.lines.length)
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
