import { newId } from '../../src/core/ids.js'
import type { Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import type { OrgOptions, Tenancy } from '../../src/tenancy.js'
import { type RandomCall, randomCalls } from './calls.js'
import { Inspection } from './inspection.js'
import { Judge } from './judge.js'
import { populate } from './population.js'
import { Draw, type Member, type Part, Random, type World } from './world.js'

export interface RandomRun {
  readonly tenancy: Pick<Tenancy, 'forOrg'>
  /** The owner, who sees what is really there. */
  readonly admin: Session
  readonly operations: number
  readonly seed: number
  readonly organizations?: number
  /** How many operations are under way at once; each may hold one connection. */
  readonly workers?: number
  /** Left out where row security is off, which is Drizzle's only wall. */
  readonly withDrizzle?: boolean
  /** After how many operations everything is looked at. */
  readonly checkpoint?: number
  readonly onCheckpoint?: (done: number) => void
}

export interface RandomReport {
  readonly seed: number
  /** Calls of their own, and batches and transactions. */
  readonly operations: number
  /** Every call of a public method, also inside of batches and transactions. */
  readonly calls: Readonly<Record<string, number>>
  readonly errors: Readonly<Record<string, number>>
  /** In words; empty when nothing crossed from one organization to another. */
  readonly faults: readonly string[]
}

/** Random operations of many organizations at once, each of which reaches for the others' rows as often as for its own. */
export async function randomOperations(run: RandomRun): Promise<RandomReport> {
  const { tenancy, admin, operations, seed, organizations = 24, workers = 6 } = run
  const random = new Random(seed)
  const world = await populate(tenancy, admin, organizations, random)
  const judge = new Judge(world)
  const inspection = new Inspection(world, admin, tenancy)
  const operators = Array.from(
    { length: workers },
    () => new Operator(run, world, judge, new Random(random.below(2 ** 31))),
  )
  const controls = await inspection.photograph(['control'])
  const phase = Math.min(run.checkpoint ?? 10_000, Math.ceil(operations / 4))
  let done = 0
  while (done < operations && judge.faults.length === 0) {
    const end = Math.min(done + phase, operations)
    const restart = await castParts(world, admin, random)
    const before = await inspection.photograph(['quiet', 'halted'])
    const middle = Math.floor((done + end) / 2)
    const step = async (operator: Operator): Promise<void> => {
      while (done < end && judge.faults.length === 0) {
        if (++done === middle) await setStatus(admin, partsOf(world, 'wavering'), 'suspended')
        await operator.operate()
      }
    }
    await Promise.all(operators.map(step))
    judge.faults.push(...(await inspection.changes(['quiet', 'halted'], before)), ...(await inspection.faults(random)))
    await restart()
    run.onCheckpoint?.(done)
  }
  judge.faults.push(...(await inspection.changes(['control'], controls)))
  const { calls, errors, faults } = judge
  return { seed, operations: done, calls: sorted(calls), errors: sorted(errors), faults }
}

const partsOf = (world: World, part: Part): string[] =>
  world.members.filter((member) => member.part === part).map(({ id }) => id)

/** Deals out the parts until the next checkpoint; the function that it gives brings everybody back. */
async function castParts(world: World, admin: Session, random: Random): Promise<() => Promise<void>> {
  const cast = world.members.filter(({ part }) => part !== 'control')
  for (const member of cast) member.part = random.chance(0.3) ? 'quiet' : 'busy'
  const [suspended, deleted, wavering] = [random.pick(cast), random.pick(cast), random.pick(cast)]
  wavering.part = 'wavering'
  suspended.part = 'halted'
  deleted.part = 'halted'
  random.pick(cast.filter(({ part }) => part !== 'halted')).part = 'busy'
  await setStatus(admin, [suspended.id], 'suspended')
  await admin.query('update platform.organizations set deleted_at = now() where id = $1', [deleted.id])
  return () =>
    setStatus(
      admin,
      world.members.map(({ id }) => id),
      'active',
    )
}

async function setStatus(admin: Session, ids: readonly string[], status: 'active' | 'suspended'): Promise<void> {
  await admin.query(
    `update platform.organizations set status = $2, suspended_at = $3,
       deleted_at = case $2 when 'active' then null else deleted_at end
     where id = any($1::uuid[]) and (status <> $2 or deleted_at is not null)`,
    [ids, status, status === 'active' ? null : new Date()],
  )
}

const sorted = (counts: ReadonlyMap<string, number>): Record<string, number> =>
  Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))

/** What a transaction is ended with on purpose. */
class TakenBack extends Error {}

/** One of those who work at the same time, for another organization each time. */
class Operator {
  private readonly calls: readonly RandomCall[]
  private readonly batchable: readonly RandomCall[]

  constructor(
    private readonly run: RandomRun,
    private readonly world: World,
    private readonly judge: Judge,
    private readonly random: Random,
  ) {
    this.calls = run.withDrizzle === false ? randomCalls.filter(({ kind }) => kind !== undefined) : randomCalls
    this.batchable = this.calls.filter(({ isOne }) => isOne)
  }

  async operate(): Promise<void> {
    const way = this.random.next()
    const member = this.someone()
    if (way < 0.7) await this.lone(member)
    else if (way < 0.83) await this.batch(member)
    else if (way < 0.95) await this.transaction(member)
    else if (way < 0.98) await this.readOnly(member)
    else if (way < 0.99) await this.aborted(member)
    else await this.nobody()
  }

  private someone(): Member {
    for (;;) {
      const member = this.random.pick(this.world.members)
      if (member.part !== 'control' && member.part !== 'quiet') return member
    }
  }

  private org(member: Member, options?: OrgOptions): Org {
    return this.run.tenancy.forOrg(member.id, options)
  }

  private lone(member: Member, options?: OrgOptions): Promise<boolean> {
    return this.tried(this.call(this.org(member, options), member))
  }

  /** One call, judged. Rejects as the call does. */
  private async call(org: Org, member: Member, call = this.random.pick(this.calls)): Promise<void> {
    const draw = new Draw(this.world, member, this.random)
    this.judge.count(call.name)
    let value: unknown
    try {
      value = await collected(call.make(org, draw))
    } catch (error) {
      this.judge.failure(call.name, member, error)
      throw error
    }
    this.judge.success(call, draw, value)
  }

  private async batch(member: Member): Promise<void> {
    const made: { call: RandomCall; draw: Draw }[] = []
    const from = this.random.chance(0.95) ? this.batchable : this.calls
    this.judge.count('batch')
    const sent = this.org(member).batch((org) => {
      return Array.from({ length: 1 + this.random.below(5) }, () => {
        const call = this.random.pick(from)
        const draw = new Draw(this.world, member, this.random)
        made.push({ call, draw })
        this.judge.count(call.name)
        return call.make(org as Org, draw)
      })
    })
    const judged = sent.then(
      (values: readonly unknown[]) => {
        for (const [index, { call, draw }] of made.entries()) this.judge.success(call, draw, values[index])
      },
      (error: unknown) => {
        this.judge.failure('batch', member, error)
        throw error
      },
    )
    await this.tried(judged)
  }

  private transaction(member: Member): Promise<boolean> {
    this.judge.count('transaction')
    const isolation = this.random.pick([undefined, 'read committed', 'repeatable read', 'serializable'] as const)
    const options = { ...(isolation && { isolation }), retries: this.random.below(3) }
    return this.tried(this.org(member).transaction((org) => this.steps(org, member, 1), options))
  }

  private async steps(org: Org, member: Member, depth: number): Promise<void> {
    for (let left = 1 + this.random.below(3); left > 0; left--) {
      const step = depth < 3 && this.random.chance(0.25) ? this.savepoint(org, member, depth) : this.call(org, member)
      // Caught, it ends the transaction at the latest when that is committed.
      if (this.random.chance(0.8)) await step
      else await this.tried(step)
    }
    if (this.random.chance(0.15)) throw new TakenBack()
  }

  private savepoint(org: Org, member: Member, depth: number): Promise<boolean> {
    this.judge.count('savepoint')
    return this.tried(org.transaction((inner) => this.steps(inner, member, depth + 1)))
  }

  private async readOnly(member: Member): Promise<void> {
    const call = this.random.pick(this.calls)
    const done = await this.tried(this.call(this.org(member, { readOnly: true }), member, call))
    if (done && !call.isRead) this.judge.fault(`${call.name} wrote in a scope that only reads`)
  }

  private async aborted(member: Member): Promise<void> {
    const controller = new AbortController()
    const sent = this.lone(member, { signal: controller.signal })
    if (this.random.chance(0.5)) await new Promise(setImmediate)
    controller.abort()
    await sent
  }

  /** An organization that is none. */
  private async nobody(): Promise<void> {
    await this.lone({ ...this.someone(), id: newId(), part: 'halted' })
  }

  /** Errors of the library are answers. */
  private async tried(sent: Promise<unknown>): Promise<boolean> {
    try {
      await sent
      return true
    } catch (error) {
      if (!(error instanceof TakenBack)) this.judge.error(error)
      return false
    }
  }
}

async function collected(value: unknown): Promise<unknown> {
  const awaited = await value
  if (typeof awaited !== 'object' || awaited === null || !(Symbol.asyncIterator in awaited)) return awaited
  const items: unknown[] = []
  for await (const item of awaited as AsyncIterable<unknown>) items.push(item)
  return items
}
