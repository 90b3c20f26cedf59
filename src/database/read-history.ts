import { BoundedMap } from '../core/bounded-map.js'
import type { Call, Owner, Statement } from '../core/executor.js'
import type { Pipeline } from './pipeline.js'

/** How many owners of each statement are remembered. */
const owners = 1000

/** By how much a time of before is taken to be longer after a longer one. */
const growth = 1.4

/** The shortest of the last times, more or less: many a time is longer because the processor had other work. */
interface Shortest {
  time: number
}

class StatementTimes {
  private readonly all: Shortest = { time: Infinity }
  private readonly byOwner = new BoundedMap<string, Shortest>(owners)

  /** Of this owner if it is known. */
  of(owner: string): number {
    return (this.byOwner.get(owner) ?? this.all).time
  }

  note(owner: string, time: number): void {
    shorten(this.all, time)
    const known = this.byOwner.get(owner)
    if (known === undefined) this.byOwner.set(owner, { time })
    else shorten(known, time)
  }
}

function shorten(shortest: Shortest, time: number): void {
  shortest.time = Math.min(time, shortest.time * growth)
}

/** How long the server works on each statement, as far as it was measured. */
export class ReadHistory {
  private readonly times = new WeakMap<Statement, StatementTimes>()

  /** `limit`: the milliseconds from which a read is slow. */
  constructor(private readonly limit: number) {}

  /** False for a statement that was never measured. */
  areFast({ id }: Owner, calls: readonly Call[]): boolean {
    for (const { statement } of calls) {
      if ((this.times.get(statement)?.of(id) ?? Infinity) >= this.limit) return false
    }
    return true
  }

  /** Notes how long the calls took that the pipeline carried. */
  note({ id }: Owner, calls: readonly Call[], { status, error, duration }: Pipeline): void {
    if (status !== 'I' || error !== undefined) return
    // Answers that arrive together seem to have taken no time.
    const one = Math.max(duration / calls.length, this.limit / 5)
    for (const { statement } of calls) {
      let times = this.times.get(statement)
      if (times === undefined) {
        times = new StatementTimes()
        this.times.set(statement, times)
      }
      times.note(id, one)
    }
  }
}
