declare const oneStatement: unique symbol

/** A promise of what one statement gives. Inside `org.batch` it is sent together with the others. */
export interface Query<T> extends Promise<T> {
  readonly [oneStatement]: true
}

/** What of a repository can go into a batch: the methods of one statement. The others need an answer before they go on. */
export type Batched<Repository> = {
  readonly [
    Name in keyof Repository as Repository[Name] extends (...args: never[]) => Query<unknown> ? Name : never
  ]: Repository[Name]
}
