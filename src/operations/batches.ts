import { InvalidInputError, ResourceExhaustedError, type TenantryError, TimeoutError } from '../core/errors.js'

/**
 * Whether the entries themselves can be at fault: their text takes too long or is larger than Postgres can make it. A number such as
 * 1e131071 takes a few bytes as jsonb and 131,072 as text.
 */
export const isTooMuch = (error: unknown): error is TenantryError =>
  [InvalidInputError, ResourceExhaustedError, TimeoutError].some((type) => error instanceof type)

/** After this many good batches, sizes that failed are tried again: the large entries may have been passed. */
const patience = 10

/** Batches that become smaller where entries are too large for one, and larger again afterwards. */
export class Batches {
  private most = Number.POSITIVE_INFINITY
  private failed = Number.POSITIVE_INFINITY
  private good = 0

  /** Throws where even one entry alone is too much. */
  async run<T>(size: number, work: (batch: number) => PromiseLike<T>): Promise<{ done: T; batch: number }> {
    for (;;) {
      const batch = Math.min(size, this.most)
      try {
        const done = await work(batch)
        this.grow(batch)
        return { done, batch }
      } catch (error) {
        if (batch === 1 || !isTooMuch(error)) throw error
        this.failed = batch
        this.good = 0
        this.most = Math.ceil(batch / 10)
      }
    }
  }

  /** Stays below the size that failed: each failure may cost a whole timeout. */
  private grow(batch: number): void {
    if (++this.good >= patience) this.failed = Number.POSITIVE_INFINITY
    this.most = Math.max(this.most, Math.min(2 * batch, this.failed - 1))
  }
}
