import { BoundedMap } from '../core/bounded-map.js'
import type { Call, Owner, Statement } from '../core/executor.js'

/** How many owners of each statement are remembered. */
const owners = 1000

/** The last two times, since one of them may have been spent waiting for a processor. */
interface Times {
  last: number
  before: number
}

class StatementTimes {
  private readonly all: Times = { last: Infinity, before: Infinity }
  private readonly byOwner = new BoundedMap<string, Times>(owners)

  /** Whether one of the last two was shorter: of this owner if it is known. */
  isBelow(limit: number, owner: string): boolean {
    const { last, before } = this.byOwner.get(owner) ?? this.all
    return last < limit || before < limit
  }

  note(owner: string, time: number): void {
    replace(this.all, time)
    const known = this.byOwner.get(owner)
    if (known === undefined) this.byOwner.set(owner, { last: time, before: time })
    else replace(known, time)
  }
}

function replace(times: Times, time: number): void {
  times.before = times.last
  times.last = time
}

/** How long the server works on each statement, as far as it was measured. */
export class ReadHistory {
  private readonly times = new WeakMap<Statement, StatementTimes>()

  /** `limit`: the milliseconds from which a read is slow. */
  constructor(private readonly limit: number) {}

  /** False for a statement that was never measured. */
  areFast({ id }: Owner, calls: readonly Call[]): boolean {
    for (const { statement } of calls) if (this.times.get(statement)?.isBelow(this.limit, id) !== true) return false
    return true
  }

  /** `time` is what all of them took together, without the way to the server and back. */
  note({ id }: Owner, calls: readonly Call[], time: number): void {
    const one = time / calls.length
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
