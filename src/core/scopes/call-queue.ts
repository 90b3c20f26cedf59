interface Place {
  begin(): void
  refuse(error: Error): void
}

/** Runs one piece of work after the other, in the order in which they were added. */
export class CallQueue {
  private waiting: Place[] = []
  private isRunning = false

  /** How many have not ended. */
  get size(): number {
    return this.waiting.length + (this.isRunning ? 1 : 0)
  }

  add<T>(work: () => Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void): void {
    const begin = (): void => {
      work().then(
        (value) => {
          this.next()
          resolve(value)
        },
        (error: unknown) => {
          this.next()
          reject(error)
        },
      )
    }
    this.waiting.push({ begin, refuse: reject })
    if (!this.isRunning) this.next()
  }

  /** Refuses what has not begun. */
  refuseWaiting(error: () => Error): void {
    const refused = this.waiting
    this.waiting = []
    for (const place of refused) place.refuse(error())
  }

  private next(): void {
    const place = this.waiting.shift()
    this.isRunning = place !== undefined
    place?.begin()
  }
}
