import { setImmediate as turn } from 'node:timers/promises'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { Random } from './world.js'

interface Started {
  /** Which handle it is made with: 0 that of the function around it, 1 that of the function around that one, and so on. */
  readonly outwards: number
  /** Whether nobody awaits it while the transaction runs. */
  readonly isForgotten: boolean
}

interface Call extends Started {
  readonly call: keyof typeof calls
  readonly username: string
}

interface Nested extends Started {
  readonly nested: Block
  readonly throws: boolean
}

interface Block {
  readonly steps: readonly Step[]
  readonly together: boolean
  /** Whether failures of its steps are caught. */
  readonly catches: boolean
}

type Step = Call | Nested | Block | 'turn'

/** What is done in one transaction. */
export interface Program {
  readonly block: Block
  readonly usernames: readonly string[]
}

export interface Report {
  /** Calls that were told something else than what the database has. */
  readonly faults: readonly string[]
  /** How many calls and nested transactions took effect, were refused, or were taken back by one around them. */
  readonly kept: number
  readonly refused: number
  readonly undone: number
}

const mine = new Error('mine')
const taken = 'taken'
const making = ['create', 'duplicate', 'batch'] as const

const calls = {
  create: (org: Org, _: string, username: string) => org.agents.create({ name: username, username }),
  duplicate: (org: Org, seed: string, username: string) => org.agents.duplicate(seed, { username }),
  batch: (org: Org, _: string, username: string) =>
    org.batch((all) => [all.agents.count(), all.agents.create({ name: username, username })]),
  'create what is taken': (org: Org) => org.agents.create({ name: taken, username: taken }),
  'duplicate to what is taken': (org: Org, seed: string) => org.agents.duplicate(seed, { username: taken }),
  'set tools that are not there': (org: Org, seed: string) => org.agents.setTools(seed, [newId()]),
  'update what is not there': (org: Org) => org.agents.update(newId(), { name: 'x' }),
  'create badly': (org: Org) => org.agents.create({ name: '', username: 'x' }),
  'claim badly': (org: Org) => org.tasks.claim({ owner: '' }),
} satisfies Record<string, (org: Org, seed: string, username: string) => Promise<unknown>>

const others = (Object.keys(calls) as (keyof typeof calls)[]).filter((name) => !isMaking(name))

function isMaking(name: string): boolean {
  return making.some((one) => one === name)
}

export function drawProgram(random: Random, prefix: string): Program {
  const usernames: string[] = []
  const started = (depth: number): Started => ({
    outwards: depth > 0 && random.chance(0.1) ? 1 + random.below(depth) : 0,
    isForgotten: random.chance(0.03),
  })
  const drawStep = (depth: number): Step => {
    const kind = random.next()
    if (kind < 0.1) return 'turn'
    if (kind < 0.2 && depth < 3) return drawBlock(depth)
    if (kind < 0.4 && depth < 3) return { ...started(depth), nested: drawBlock(depth + 1), throws: random.chance(0.3) }
    const call = random.chance(0.8) ? random.pick(making) : random.pick(others)
    const username = `${prefix}-${usernames.length}`
    if (isMaking(call)) usernames.push(username)
    return { ...started(depth), call, username }
  }
  const drawBlock = (depth: number): Block => ({
    together: random.chance(0.6),
    catches: random.chance(0.8),
    steps: Array.from({ length: 1 + random.below(4) }, () => drawStep(depth)),
  })
  return { block: drawBlock(0), usernames }
}

/** What all programs meet: an agent to be copied, and one with a name that is taken. */
export async function prepare(org: Org): Promise<string> {
  await org.agents.create({ name: taken, username: taken })
  return (await org.agents.create({ name: 'seed', username: 'seed' })).id
}

export async function runProgram(org: Org, seed: string, program: Program): Promise<Report> {
  const run = new Run(seed)
  await run.whole(org, program.block)
  return run.report(await rowsOf(org, program))
}

async function rowsOf(org: Org, { usernames }: Program): Promise<Set<string>> {
  if (usernames.length === 0) return new Set()
  const { items } = await org.agents.list({ username: { in: [...usernames] }, limit: 500 })
  return new Set(items.map(({ username }) => username))
}

/** A call or a nested transaction, and what its caller was told of it. */
interface Told {
  /** What it makes. */
  readonly username?: string
  /** The transactions that its handle is of, from the outermost on. */
  readonly within: readonly Told[]
  outcome?: 'fulfilled' | 'rejected'
}

interface Handle {
  readonly org: Org
  readonly within: readonly Told[]
}

const isKept = ({ outcome, within }: Told): boolean => outcome === 'fulfilled' && within.every(isKept)

class Run {
  private readonly told: Told[] = []
  private readonly forgotten: (() => Promise<void>)[] = []

  constructor(private readonly seed: string) {}

  async whole(org: Org, block: Block): Promise<void> {
    const entry: Told = { within: [] }
    const work = org.transaction((tx) => this.block(block, [{ org: tx, within: [entry] }]))
    await this.tell(entry, work).catch(ignore)
    for (const look of this.forgotten) await look()
  }

  report(rows: ReadonlySet<string>): Report {
    const faults = this.told
      .filter((one) => one.username !== undefined && rows.has(one.username) !== isKept(one))
      .map((one) => `${one.username}: ${isKept(one) ? 'fulfilled and lost' : 'rejected and kept'}`)
    return {
      faults,
      kept: this.told.filter(isKept).length,
      refused: this.told.filter(({ outcome }) => outcome === 'rejected').length,
      undone: this.told.filter((one) => one.outcome === 'fulfilled' && !isKept(one)).length,
    }
  }

  private async block({ steps, together, catches }: Block, handles: readonly Handle[]): Promise<void> {
    const run = (step: Step) => (catches ? this.step(step, handles).catch(ignore) : this.step(step, handles))
    if (together) await Promise.all(steps.map(run))
    else for (const step of steps) await run(step)
  }

  private step(step: Step, handles: readonly Handle[]): Promise<void> {
    if (step === 'turn') return turn()
    if ('steps' in step) return this.block(step, handles)
    const { org, within } = handles[handles.length - 1 - step.outwards] as Handle
    const entry: Told = { within, ...('call' in step && isMaking(step.call) && { username: step.username }) }
    const promise =
      'call' in step ? calls[step.call](org, this.seed, step.username) : this.nest(step, entry, org, handles)
    if (!step.isForgotten) return this.tell(entry, promise)
    this.forgotten.push(() => this.tell(entry, promise).catch(ignore))
    return Promise.resolve()
  }

  private nest({ nested, throws }: Nested, entry: Told, org: Org, handles: readonly Handle[]): Promise<void> {
    return org.transaction(async (inner) => {
      await this.block(nested, [...handles, { org: inner, within: [...entry.within, entry] }])
      if (throws) throw mine
    })
  }

  private async tell(entry: Told, promise: Promise<unknown>): Promise<void> {
    this.told.push(entry)
    try {
      await promise
      entry.outcome = 'fulfilled'
    } catch (error) {
      entry.outcome = 'rejected'
      throw error
    }
  }
}

const ignore = (): void => undefined
