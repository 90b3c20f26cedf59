import { BoundedMap } from '../bounded-map.js'
import type { Effect, Statement } from '../executor.js'
import { foreignStatement, statement } from '../statement.js'
import { type ChangeText, renderChange } from './change-text.js'

/** A statement that changes rows, with the pieces that an audit entry goes between. */
export interface ChangeStatement extends Statement {
  readonly change: ChangeText
}

export interface OwnNames {
  /** The repository's name for it, and the event that the audit log calls a change by. */
  readonly event: string
  /** It needs the permission to write, and passes the audit log. */
  readonly changes: boolean
  /** What errors call it. */
  readonly label: string
}

/** A statement that a repository writes itself. */
export interface OwnStatement extends Statement, Omit<OwnNames, 'label'> {}

/** Filters come from requests, so their shapes are unlimited. */
const capacity = 1000
/** Longer texts of the caller are rarely the same twice, and a thousand of them would fill the memory. */
const longest = 10_000

/** Statements by their shape, so that a hot call builds no SQL. When it is full, the oldest is forgotten. */
export class StatementCache {
  private readonly known = new BoundedMap<string, Statement>(capacity)

  get(shape: string, effect: Effect, text: () => string): Statement {
    return this.known.get(shape) ?? this.keep(shape, statement(text(), effect))
  }

  /** The text itself is the shape. */
  foreign(text: string): Statement {
    const found = this.known.get(text)
    if (found !== undefined) return found
    const made = foreignStatement(text)
    return text.length > longest ? made : this.keep(text, made)
  }

  change(shape: string, make: () => ChangeText): ChangeStatement {
    const found = this.known.get(shape)
    if (found !== undefined) return found as ChangeStatement
    const change = make()
    // With locks of parents in front, an insert returns nothing where a parent is missing; with a condition, where the row keeps its values.
    const isCertain =
      change.verb === 'insert' && change.ctes.length === 0 && change.where === '' && change.upsert?.mayMiss !== true
    const effect = change.verb === 'select' ? 'read' : isCertain ? 'insert' : 'change'
    const made = { ...statement(renderChange(change), effect), change }
    return this.keep(shape, made)
  }

  own(shape: string, { event, label, changes }: OwnNames, make: () => string | ChangeText): OwnStatement {
    const found = this.known.get(shape)
    if (found !== undefined) return found as OwnStatement
    const made = make()
    // A query may call a function that writes, so its text decides.
    const effect = changes ? 'change' : undefined
    if (typeof made === 'string') return this.keep(shape, { ...foreignStatement(made, effect, label), event, changes })
    return this.keep(shape, { ...foreignStatement(renderChange(made), effect, label), change: made, event, changes })
  }

  private keep<Kept extends Statement>(shape: string, made: Kept): Kept {
    this.known.set(shape, made)
    return made
  }
}

const classes = new WeakMap<object, number>()
let classesSeen = 0

/** Two classes can have the same name, or none, in bundled code above all. */
export function classKey(type: object): number {
  const known = classes.get(type)
  if (known !== undefined) return known
  classes.set(type, ++classesSeen)
  return classesSeen
}
