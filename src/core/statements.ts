import { type Statement, statement } from './executor.js'

/** Filters come from requests, so that there is no end to their shapes. */
const capacity = 1000

/** Statements by their shape, so that a hot call builds no SQL. Those not used for longest are forgotten. */
export class StatementCache {
  private readonly known = new Map<string, Statement>()

  get(shape: string, text: () => string): Statement {
    const found = this.known.get(shape)
    if (found !== undefined) return found
    const made = statement(text())
    if (this.known.size >= capacity) {
      for (const oldest of this.known.keys()) {
        this.known.delete(oldest)
        break
      }
    }
    this.known.set(shape, made)
    return made
  }
}
