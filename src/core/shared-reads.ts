import { BoundedMap } from './bounded-map.js'

export interface SharedReadsOptions {
  /** How many milliseconds after its beginning a read may still answer. */
  readonly maxAge: number
  /** How many owners are remembered. */
  readonly capacity: number
  /** Milliseconds that only increase, whatever is done to the time of day. */
  readonly clock: () => number
}

interface SharedRead<Value> {
  readonly begun: number
  readonly value: Promise<Value>
}

/**
 * One read for each owner, whose answer is used for a while. Callers that come before the answer wait for the same read. A read that
 * failed is not kept. No read is made in the scope of a caller, so a caller that goes away ends it for nobody else.
 */
export class SharedReads<Value> {
  readonly #reads: BoundedMap<string, SharedRead<Value>>

  constructor(
    private readonly load: (ownerId: string) => Promise<Value>,
    private readonly options: SharedReadsOptions,
  ) {
    this.#reads = new BoundedMap(options.capacity)
  }

  get(ownerId: string): Promise<Value> {
    const now = this.now()
    const known = this.#reads.get(ownerId)
    if (known !== undefined && now - known.begun < this.options.maxAge) return known.value
    return this.read(ownerId, now)
  }

  /** A moment of the clock that the reads go by. */
  now(): number {
    return this.options.clock()
  }

  /** The next caller reads. The answer of a read that is under way is not kept. */
  forget(ownerId: string): void {
    this.#reads.delete(ownerId)
  }

  forgetAll(): void {
    this.#reads.clear()
  }

  private read(ownerId: string, begun: number): Promise<Value> {
    const read = { begun, value: this.load(ownerId) }
    // Taken out first, so that it counts as the newest.
    this.#reads.delete(ownerId)
    this.#reads.set(ownerId, read)
    read.value.catch(() => {
      if (this.#reads.get(ownerId) === read) this.#reads.delete(ownerId)
    })
    return read.value
  }
}
