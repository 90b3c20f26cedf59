interface Waiter {
  readonly owner: string
  readonly calls: number
}

interface Owner<Waiting> {
  /** How many calls of it stand in the line. */
  standing: number
  /** Those who come into the line when others of the owner have left it. */
  readonly behind: Set<Waiting>
}

/** Whoever came first is first, but however many calls of one owner wait, only some of them stand in the line at once. */
export class FairQueue<Waiting extends Waiter> {
  private readonly line = new Set<Waiting>()
  private readonly owners = new Map<string, Owner<Waiting>>()
  private count = 0

  /** `most`: with so many calls in the line, an owner adds no more. */
  constructor(private readonly most: number) {}

  get size(): number {
    return this.count
  }

  add(waiting: Waiting): void {
    let owner = this.owners.get(waiting.owner)
    if (owner === undefined) {
      owner = { standing: 0, behind: new Set() }
      this.owners.set(waiting.owner, owner)
    }
    this.count++
    owner.behind.add(waiting)
    this.follow(owner)
  }

  next(): Waiting | undefined {
    for (const waiting of this.line) {
      this.delete(waiting)
      return waiting
    }
    return undefined
  }

  /** False where it does not wait any more. */
  delete(waiting: Waiting): boolean {
    const owner = this.owners.get(waiting.owner)
    if (owner === undefined) return false
    if (this.line.delete(waiting)) owner.standing -= waiting.calls
    else if (!owner.behind.delete(waiting)) return false
    this.count--
    this.follow(owner)
    if (owner.standing === 0) this.owners.delete(waiting.owner)
    return true
  }

  /** Those behind go to the end of the line, as far as the owner may have more in it. */
  private follow(owner: Owner<Waiting>): void {
    for (const waiting of owner.behind) {
      if (owner.standing >= this.most) return
      owner.behind.delete(waiting)
      owner.standing += waiting.calls
      this.line.add(waiting)
    }
  }

  *[Symbol.iterator](): Generator<Waiting> {
    yield* this.line
    for (const { behind } of this.owners.values()) yield* behind
  }
}
