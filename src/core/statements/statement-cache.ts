import { DefinitionError } from '../errors.js'
import { type Statement, statement } from '../executor.js'

/** Filters come from requests, so that there is no end to their shapes. */
const capacity = 1000

/** Statements by their shape, so that a hot call builds no SQL. Those not used for longest are forgotten. */
export class StatementCache {
  private readonly known = new Map<string, Statement>()

  /** `label` names the statement to whoever wrote it. */
  get(shape: string, text: () => string, label?: string): Statement {
    const found = this.known.get(shape)
    if (found !== undefined) return found
    const made = statement(text(), label)
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

const classes = new WeakMap<object, number>()
let classesSeen = 0

/** Two classes may have one name, in bundled code most of all, or none. */
export function classKey(type: object): number {
  const known = classes.get(type)
  if (known !== undefined) return known
  classes.set(type, ++classesSeen)
  return classesSeen
}

/** A text that names no organization would be left to row security alone. */
export function ownText(label: string, text: string): string {
  if (!/org_id"? = \$1\b/.test(text)) throw new DefinitionError(`${label} must say org_id = $1 for each of its tables`)
  return text
}
