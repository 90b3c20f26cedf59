/** Who waits, by whom it is for. Each owner has its turn, however many of another one wait. */
export class FairQueue<Waiting extends { readonly owner: string }> {
  private readonly owners = new Map<string, Set<Waiting>>()
  private count = 0

  get size(): number {
    return this.count
  }

  add(waiting: Waiting): void {
    let line = this.owners.get(waiting.owner)
    if (line === undefined) {
      line = new Set()
      this.owners.set(waiting.owner, line)
    }
    line.add(waiting)
    this.count++
  }

  /** The first of the owner whose turn it is, who then is last. */
  next(): Waiting | undefined {
    for (const [owner, line] of this.owners) {
      this.owners.delete(owner)
      for (const waiting of line) {
        line.delete(waiting)
        if (line.size > 0) this.owners.set(owner, line)
        this.count--
        return waiting
      }
    }
    return undefined
  }

  /** False where it does not wait any more. */
  delete(waiting: Waiting): boolean {
    const line = this.owners.get(waiting.owner)
    if (line?.delete(waiting) !== true) return false
    if (line.size === 0) this.owners.delete(waiting.owner)
    this.count--
    return true
  }

  *[Symbol.iterator](): Generator<Waiting> {
    for (const line of this.owners.values()) yield* line
  }
}
