interface Place {
  readonly isRead: boolean
  begin(): void
  refuse(error: Error): void
}

export interface Work<T> {
  readonly run: () => Promise<T>
  /** It only reads, in one statement: reads that stand one behind the other run at once. */
  readonly isRead: boolean
}

/** Runs one piece of work after the other, in the order in which they were added. */
export class CallQueue {
  private waiting: Place[] = []
  private running = 0
  private areReads = false

  /** How many have not ended. */
  get size(): number {
    return this.waiting.length + this.running
  }

  add<T>({ run, isRead }: Work<T>, resolve: (value: T) => void, reject: (error: unknown) => void): void {
    const begin = (): void => {
      run().then(
        (value) => {
          this.end()
          resolve(value)
        },
        (error: unknown) => {
          this.end()
          reject(error)
        },
      )
    }
    this.waiting.push({ isRead, begin, refuse: reject })
    this.beginNext()
  }

  /** Refuses what has not begun. */
  refuseWaiting(error: () => Error): void {
    const refused = this.waiting
    this.waiting = []
    for (const place of refused) place.refuse(error())
  }

  private end(): void {
    this.running--
    this.beginNext()
  }

  private beginNext(): void {
    for (;;) {
      const [next] = this.waiting
      if (next === undefined || (this.running > 0 && !(this.areReads && next.isRead))) return
      this.waiting.shift()
      this.running++
      this.areReads = next.isRead
      next.begin()
    }
  }
}
