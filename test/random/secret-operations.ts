import { TenantryError } from '../../src/core/errors.js'
import type { Session } from '../../src/database/session.js'
import { hear } from './hearing.js'
import { plainCalls, type SecretCall, TakenBack } from './secret-calls.js'
import { faultyCalls } from './secret-faults.js'
import { SecretMarks } from './secret-marks.js'
import { Found, plantedIn, searchTables } from './secret-places.js'
import { places, plant, readLog } from './secret-plants.js'
import { printedOf, textsOf } from './secret-search.js'
import { type Hand, newSide, openProcess, type Process, type Side } from './secret-world.js'
import { startWatchedServer, type WatchedServer } from './watched-server.js'
import { Random } from './world.js'

export interface SecretRun {
  readonly operations: number
  readonly seed: number
  readonly organizations?: number
  readonly workers?: number
  /** After how many operations everything that was heard is searched. */
  readonly checkpoint?: number
  readonly onCheckpoint?: (done: number) => void
}

export interface SecretReport {
  readonly seed: number
  readonly operations: number
  readonly calls: Readonly<Record<string, number>>
  readonly errors: Readonly<Record<string, number>>
  /**
   * Where a secret was found, with the text around it; errors that are none of the library's; places in which the planted secret was
   * not found.
   */
  readonly faults: readonly string[]
  /** `kind in place` of what is stored or sent as it is, on purpose. */
  readonly shown: readonly string[]
  /** The places in which the planted secret was found. */
  readonly searched: readonly string[]
}

/** Random calls with secrets, and failures of every kind, on a server of their own. Then every place is searched for the secrets. */
export async function secretOperations(run: SecretRun): Promise<SecretReport> {
  const server = await startWatchedServer()
  try {
    return await new Scan(run, server).run()
  } finally {
    await server.stop()
  }
}

const mostFaults = 20
/** So that the other calls find something in each organization. */
const firstCalls = ['credentials.create', 'contacts.create', 'apiKeys.create', 'sessions.start', 'invitations.create']

class Scan {
  private readonly marks: SecretMarks
  private readonly found: Found
  private readonly random: Random
  private readonly sides: Side[] = []
  private readonly calls = new Map<string, number>()
  private readonly errors = new Map<string, number>()
  private readonly untyped = new Set<string>()
  private readonly pending: [string, SecretCall][] = []

  constructor(
    private readonly asked: SecretRun,
    private readonly server: WatchedServer,
  ) {
    this.random = new Random(asked.seed)
    this.marks = new SecretMarks(server.passwords)
    this.found = new Found(this.marks.search)
  }

  async run(): Promise<SecretReport> {
    const { found, marks, server } = this
    const secrets = new Map(places.map((place) => [place, marks.of(plantedIn(place))]))
    const hearing = hear(found.note, (text) => [...secrets.values()].some((secret) => text.includes(secret)))
    const watcher = await server.connect()
    const opened: Process[] = []
    try {
      for (const debug of [false, true]) opened.push(await this.open({ debug }))
      const impatient = await this.open({ debug: true, statementTimeout: 2000 })
      await this.work(opened, impatient, watcher)
      opened.push(impatient)
      const [one] = opened as [Process]
      for (const { id } of this.sides) await readLog(one.tenancy, id, found.note)
      await plant((place) => secrets.get(place) ?? '', { tenancy: one.tenancy, server }, found.note)
      await this.listen(watcher)
      await searchTables(found, server.admin)
    } finally {
      hearing.end()
      for (const { tenancy } of opened) await tenancy.close({ drain: 0 })
      await watcher.close()
    }
    return this.report()
  }

  private open(options: { debug: boolean; statementTimeout?: number }): Promise<Process> {
    const onQuery = (event: { readonly error: unknown }) => {
      this.found.note('onQuery', event.error === undefined ? printedOf(event) : textsOf(event))
    }
    return openProcess(this.server, this.marks, { ...options, onQuery })
  }

  private async work(processes: readonly Process[], impatient: Process, watcher: Session): Promise<void> {
    const { operations, organizations = 3, workers = 8, checkpoint = 500 } = this.asked
    const { server, marks, random, sides } = this
    const handOf = (process: Process, side: Side, random: Random): Hand => ({
      process,
      tenancy: process.tenancy,
      impatient: impatient.tenancy,
      server,
      marks,
      side,
      random,
    })
    const [first] = processes as [Process]
    for (let made = 0; made < organizations; made++) {
      const side = await newSide(first.tenancy, server)
      for (const name of firstCalls) await plainCalls[name]?.(handOf(first, side, random))
      sides.push(side)
    }
    let done = 0
    while (done < operations) {
      const end = Math.min(done + checkpoint, operations)
      const step = async (random: Random): Promise<void> => {
        while (done < end) {
          if (++done % 10 === 0) await this.watch(watcher)
          const hand = handOf(random.pick(processes), random.pick(sides), random)
          const [name, call] = this.next()
          await this.tried(name, () => call(hand))
        }
      }
      await Promise.all(Array.from({ length: workers }, () => step(new Random(random.below(2 ** 31)))))
      await this.listen(watcher)
      this.asked.onCheckpoint?.(done)
    }
  }

  /** Each call once, in a new order, before any comes again. */
  private next(): [string, SecretCall] {
    if (this.pending.length === 0) {
      const rest = Object.entries({ ...plainCalls, ...faultyCalls })
      while (rest.length > 0) this.pending.push(...rest.splice(this.random.below(rest.length), 1))
    }
    return this.pending.pop() as [string, SecretCall]
  }

  private async tried(name: string, call: () => Promise<unknown>): Promise<void> {
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1)
    try {
      this.found.note('rows', printedOf(await call()))
    } catch (error) {
      this.found.note('errors', textsOf(error))
      const kind = error instanceof Error ? error.name : typeof error
      this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1)
      if (error instanceof TenantryError || error instanceof TakenBack) return
      this.untyped.add(`${name} ended in an error that is none of ours: ${String(error)}`)
    }
  }

  /** What the backends run at this moment, or have run last. */
  private async watch(watcher: Session): Promise<void> {
    const rows = await watcher.query<{ query: string }>('select distinct query from pg_stat_activity')
    this.found.look('pg_stat_activity', rows.map(({ query }) => query).join('\n'))
  }

  private async listen(watcher: Session): Promise<void> {
    await this.watch(watcher)
    // The end of a transaction is told a moment later.
    await new Promise(setImmediate)
    this.found.look('server log', await this.server.log())
    this.found.look('pg_stat_statements', (await this.server.statements()).join('\n'))
    this.found.searchNotes()
  }

  private report(): SecretReport {
    const { leaks, shown, searched } = this.found
    const blind = places.filter((place) => !searched.has(place)).map((place) => `nothing was found in ${place}`)
    const sorted = (counts: ReadonlyMap<string, number>) =>
      Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
    return {
      seed: this.asked.seed,
      operations: this.asked.operations,
      calls: sorted(this.calls),
      errors: sorted(this.errors),
      faults: [...leaks, ...this.untyped, ...blind].slice(0, mostFaults),
      shown: [...shown].sort(),
      searched: [...searched].sort(),
    }
  }
}
