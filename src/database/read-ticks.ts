import type { Binding, Call, Owner, Result, RunOptions } from '../core/executor.js'
import { concernsAll } from './outcome.js'
import type { ReadHistory } from './read-history.js'

/** How calls are sent at once. */
export interface Ways {
  /** `measured` is whose reads they are, where it is to be measured how long they take. */
  apart(binding: Binding, calls: readonly Call[], options: RunOptions, measured: Owner | undefined): Promise<Result[]>
  /** Only reads that are known to be short: other calls may be sent on the same connection before these are answered. */
  beside(owner: Owner, calls: readonly Call[], signal: AbortSignal | undefined): Promise<Result[]>
}

interface Waiting {
  readonly calls: readonly Call[]
  readonly resolve: (results: Result[]) => void
  readonly reject: (error: unknown) => void
}

interface Group {
  readonly binding: Owner
  readonly signal: AbortSignal | undefined
  readonly waiting: Waiting[]
}

/** As many as a server answers before the first of them has waited long. */
const most = 32

/**
 * Sends the reads of one owner that are asked for in the same tick in one write, with one binding. Each answer is the same as if the read had
 * gone alone: where the server refuses one of the statements, each of them is sent again by itself.
 */
export class ReadTicks {
  /** By the id of the owner. Reads with another signal go by themselves, since an aborted one ends all. */
  private readonly groups = { org: new Map<string, Group>(), user: new Map<string, Group>() }

  constructor(
    private readonly ways: Ways,
    private readonly history: ReadHistory,
  ) {}

  run(binding: Binding, calls: readonly Call[], options: RunOptions): Promise<Result[]> {
    if (binding.kind === 'system') return this.ways.apart(binding, calls, options, undefined)
    const group = this.groups[binding.kind].get(binding.id)
    if (!isRead(calls, options)) {
      // What was asked for before a write is sent before it.
      if (group !== undefined) this.flush(group)
      return this.ways.apart(binding, calls, options, undefined)
    }
    if (!this.history.areFast(binding, calls) || (group !== undefined && group.signal !== options.signal))
      return this.ways.apart(binding, calls, options, binding)
    return new Promise((resolve, reject) => {
      const open = group ?? this.open(binding, options.signal)
      open.waiting.push({ calls, resolve, reject })
      if (open.waiting.length === most) this.flush(open)
    })
  }

  private open(binding: Owner, signal: AbortSignal | undefined): Group {
    const group = { binding, signal, waiting: [] }
    this.groups[binding.kind].set(binding.id, group)
    process.nextTick(flush, this, group)
    return group
  }

  /** Does nothing where it was sent before. */
  flush(group: Group): void {
    const { binding, signal, waiting } = group
    const groups = this.groups[binding.kind]
    if (groups.get(binding.id) !== group) return
    groups.delete(binding.id)
    const [first, ...others] = waiting
    if (first === undefined) return
    if (others.length === 0) this.ways.beside(binding, first.calls, signal).then(first.resolve, first.reject)
    else
      this.ways
        .beside(
          binding,
          waiting.flatMap(({ calls }) => calls),
          signal,
        )
        .then(
          (results) => {
            let start = 0
            for (const { calls, resolve } of waiting) resolve(results.slice(start, (start += calls.length)))
          },
          (error: unknown) => {
            if (concernsAll(error)) for (const { reject } of waiting) reject(error)
            else for (const one of waiting) this.alone(group, one)
          },
        )
  }

  private alone({ binding, signal }: Group, { calls, resolve, reject }: Waiting): void {
    this.ways.apart(binding, calls, { signal }, binding).then(resolve, reject)
  }
}

const flush = (ticks: ReadTicks, group: Group): void => {
  ticks.flush(group)
}

/** Whether the calls only read, and are texts of the library. */
const isRead = (calls: readonly Call[], { readOnly, reenter }: RunOptions): boolean =>
  readOnly !== true &&
  reenter !== true &&
  calls.length > 0 &&
  calls.every(({ statement }) => statement.effect === 'read' && statement.name !== '')
