import { ownOf } from '../values.js'

/** An insert, update or delete, or a read that is audited, in its pieces, so that an audit entry can be put between them. */
export interface ChangeText {
  /** `select` for a read that the audit log notes, such as that of a secret; `call` for a function that makes a row and returns it. */
  readonly verb: 'insert' | 'update' | 'delete' | 'select' | 'call'
  /** Common table expressions in front, such as `parent_3 as (select …)`. */
  readonly ctes: readonly string[]
  /**
   * Common table expressions behind the change, which may read its rows as `changed`: inserts of rows that refer to them. A Citus cluster
   * carries out one after the other, so that in front of the change these rows would refer to nothing.
   */
  readonly after?: readonly string[]
  /** The change up to its predicate: `update "platform"."agents" set "name" = $3`, or the whole insert. */
  readonly head: string
  /** For an update: what it reads besides its table, such as a sub-select. Its columns have other names than those of the table. */
  readonly from?: string
  /** Which rows are changed. For an insert, which of those that are there: empty for all of them, or where it changes none. */
  readonly where: string
  /** What it returns. Empty for nothing. */
  readonly returning: string
  /** The properties of the columns that it may change, or that an insert gives. Undefined where the text alone knows. */
  readonly sets?: readonly string[]
  /** For an insert that meets a row which is there: the condition of that row, where it is changed then. */
  readonly upsert?: {
    readonly changes: string | undefined
    /**
     * The same insert where that row is read first, as `before`: it takes the id of that row, and changes only the row with this id. So it
     * leaves a row that was made after the statement began.
     */
    readonly reading?: Pick<ChangeText, 'head' | 'where'>
    /** Whether it may leave a row as it is that was made meanwhile, so that it has to run again. */
    readonly mayMiss?: boolean
  }
}

export function renderChange(change: ChangeText): string {
  const { verb, ctes, after = [], head, from, where, returning } = ownOf(change) as ChangeText
  if (after.length > 0) {
    const changed = renderChange({ ...change, ctes: [], after: [], returning: '*' })
    return `with ${[...ctes, `changed as (${changed})`, ...after].join(', ')} select ${returning} from changed`
  }
  if (verb === 'select' || verb === 'call') return `select ${returning} from (${head} where ${where}) as changed`
  return [
    ...(ctes.length === 0 ? [] : [`with ${ctes.join(', ')}`]),
    head,
    ...(from === undefined ? [] : [`from ${from}`]),
    ...(where === '' ? [] : [`where ${where}`]),
    ...(returning === '' ? [] : [`returning ${returning}`]),
  ].join(' ')
}
