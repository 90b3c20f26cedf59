import { BoundedMap } from '../core/bounded-map.js'
import type { Call, Owner, Statement } from '../core/executor.js'

/** How many owners of each statement are remembered. */
const owners = 1000

/** The last two times, since one of them may have been spent waiting for a processor. */
type Times = readonly [number, number]

class StatementTimes {
  private all: Times | undefined
  private readonly byOwner = new BoundedMap<string, Times>(owners)

  /** The shorter of the last two, of this owner if it is known. */
  of(owner: string): number {
    const times = this.byOwner.get(owner) ?? this.all
    return times === undefined ? Infinity : Math.min(...times)
  }

  note(owner: string, time: number): void {
    this.all = [this.all?.[1] ?? time, time]
    this.byOwner.set(owner, [this.byOwner.get(owner)?.[1] ?? time, time])
  }
}

/** How long the server works on each statement, as far as it was measured. */
export class ReadHistory {
  private readonly times = new WeakMap<Statement, StatementTimes>()

  /** `limit`: the milliseconds from which a read is slow. */
  constructor(private readonly limit: number) {}

  /** False for a statement that was never measured. */
  areFast({ id }: Owner, calls: readonly Call[]): boolean {
    return calls.every(({ statement }) => (this.times.get(statement)?.of(id) ?? Infinity) < this.limit)
  }

  /** `time` is what all of them took together, without the way to the server and back. */
  note({ id }: Owner, calls: readonly Call[], time: number): void {
    for (const { statement } of calls) {
      let times = this.times.get(statement)
      if (times === undefined) {
        times = new StatementTimes()
        this.times.set(statement, times)
      }
      times.note(id, time / calls.length)
    }
  }
}
