// A worker for the tasks of every organization: fires due schedules, claims fairly, and stops on SIGTERM when what runs is finished.
// `npx tsx examples/worker.ts` with DATABASE_URL and SYSTEM_DATABASE_URL; without them it shows itself on the embedded database.
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type ClaimedTask, ConflictError, openTenancy, type Org, type Tenancy } from 'tenantry'
import { openEmbeddedTenancy } from 'tenantry/testing'

type Output = string | number | boolean | null

/** Does the work of one task in the scope of its organization. `signal` is aborted when the lease is lost. */
export type Handler = (org: Org, task: ClaimedTask, signal: AbortSignal) => Promise<Output>

export interface WorkerOptions {
  readonly owner: string
  /** By the kind of task. A schedule's tasks are of the kind `schedule`. */
  readonly handlers: Readonly<Record<string, Handler>>
  /** Ends the worker: it claims nothing new, finishes what runs, and returns. */
  readonly signal: AbortSignal
  readonly concurrency?: number
  readonly leaseSeconds?: number
  readonly idleMs?: number
  readonly log?: (line: string) => void
}

export async function runWorker(tenancy: Tenancy, options: WorkerOptions): Promise<void> {
  const { owner, handlers, signal, concurrency = 4, leaseSeconds = 60, idleMs = 1000, log = console.log } = options
  const { schedules, tasks } = tenancy.system({ actor: owner, reason: 'runs tasks' })
  const running = new Set<Promise<void>>()
  let resting: Promise<void> | undefined

  while (!signal.aborted) {
    const started = running.size
    try {
      await schedules.fireDue()
      await tasks.requeueExpired()
      const free = concurrency - running.size
      const asked = { owner, limit: free, leaseSeconds, kinds: Object.keys(handlers) }
      // What was claimed when the signal came is run too: nobody else would, until its lease has expired.
      for (const task of free > 0 ? await tasks.claimFair(asked) : []) {
        const job = run(task).finally(() => running.delete(job))
        running.add(job)
      }
    } catch (error) {
      log(`could not look for work: ${String(error)}`)
    }
    if (running.size === started || running.size === concurrency) await Promise.race([...running, pause()])
  }
  await Promise.all(running)

  async function run(task: ClaimedTask): Promise<void> {
    const org = tenancy.forOrg(task.orgId, { actor: tenancy.job(owner) })
    const lost = new AbortController()
    const beat = () =>
      org.tasks.heartbeat(task, { leaseSeconds }).catch((error: unknown) => {
        // Any other error, such as one of the network, says nothing about the lease: the next heartbeat tries again.
        if (error instanceof ConflictError) lost.abort(error)
        else log(`no heartbeat ${task.id}: ${String(error)}`)
      })
    const heart = setInterval(() => void beat(), (leaseSeconds * 1000) / 3)
    try {
      const outcome = await handle(org, task, lost.signal)
      if ('output' in outcome) await org.tasks.complete(task, outcome)
      else await org.tasks.fail(task, outcome)
      log(`${'output' in outcome ? 'done' : 'failed'} ${task.id}`)
    } catch (error) {
      // The lease was lost, or the database is away. When the lease has expired, the task is queued again while attempts are left; else it
      // is failed.
      log(`lost ${task.id}: ${String(error)}`)
    } finally {
      clearInterval(heart)
    }
  }

  async function handle(
    org: Org,
    task: ClaimedTask,
    lost: AbortSignal,
  ): Promise<{ output: Output } | { error: string }> {
    try {
      const handler = handlers[task.kind]
      return handler === undefined ? { error: 'no handler' } : { output: await handler(org, task, lost) }
    } catch (error) {
      return { error: String(error) }
    }
  }

  /** One at a time: a new one for each task that ends would add a listener to the signal each time. */
  function pause(): Promise<void> {
    resting ??= sleep(idleMs, undefined, { signal })
      .catch(() => undefined)
      .finally(() => {
        resting = undefined
      })
    return resting
  }
}

const handlers: Readonly<Record<string, Handler>> = {
  count: (org) => org.agents.count(),
  // Stands for work that takes its time.
  wait: (_, { input }, signal) => sleep(Number(input), 'waited', { signal }),
  schedule: (org) => org.tasks.count({ status: 'queued' }),
}

async function main(): Promise<void> {
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => {
      console.log(`${name}: finishing what runs`)
      stop.abort()
    })
  const { DATABASE_URL: url, SYSTEM_DATABASE_URL: systemUrl } = process.env
  const worker = { owner: `worker-${process.pid}`, handlers, signal: stop.signal, idleMs: 200 }
  if (url === undefined || systemUrl === undefined) return show(worker)
  const tenancy = await openTenancy({ url, systemUrl })
  await runWorker(tenancy, worker)
  await tenancy.close()
}

/** Two organizations on the embedded database, one with many tasks: the other one's is among the first. */
async function show(worker: WorkerOptions): Promise<void> {
  const { tenancy, newOrg, close } = await openEmbeddedTenancy()
  const [large, small] = [await newOrg(), await newOrg()]
  for (let made = 0; made < 20; made++) await large.tasks.enqueue({ kind: 'wait', input: 50 })
  const { id } = await small.tasks.enqueue({ kind: 'count' })
  console.log(`The small organization's task is ${id}`)
  const signal = AbortSignal.any([worker.signal, AbortSignal.timeout(3000)])
  await runWorker(tenancy, { ...worker, signal })
  await close()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
