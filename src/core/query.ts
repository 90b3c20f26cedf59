declare const oneStatement: unique symbol

/** A promise of the result of one statement. Inside `org.batch` it is sent together with the others. */
export interface Query<T> extends Promise<T> {
  readonly [oneStatement]: true
}

/**
 * The methods of a repository that can go into a batch: those of one statement, also of its parts such as `projects.disk`. The others
 * need an answer before they go on.
 */
export type Batched<Repository> = {
  readonly [
    Name in keyof Repository as Repository[Name] extends AnyMethod
      ? Repository[Name] extends OneStatement
        ? Name
        : never
      : Repository[Name] extends object
        ? Name
        : never
  ]: Repository[Name] extends AnyMethod ? Repository[Name] : Batched<Repository[Name]>
}

type AnyMethod = (...args: never[]) => unknown
type OneStatement = (...args: never[]) => Query<unknown>
