/** An insert, update or delete in its pieces, so that an audit entry can be put between them. */
export interface ChangeText {
  readonly verb: 'insert' | 'update' | 'delete'
  /** Common table expressions in front, such as `parent_3 as (select …)`. */
  readonly ctes: readonly string[]
  /** The change up to its predicate: `update "platform"."agents" set "name" = $3`, or the whole insert. */
  readonly head: string
  /** Which rows are changed. Empty for an insert. */
  readonly where: string
  /** What it returns. Empty for nothing. */
  readonly returning: string
}

export function renderChange({ ctes, head, where, returning }: ChangeText): string {
  return [
    ...(ctes.length === 0 ? [] : [`with ${ctes.join(', ')}`]),
    head,
    ...(where === '' ? [] : [`where ${where}`]),
    ...(returning === '' ? [] : [`returning ${returning}`]),
  ].join(' ')
}
