type Settle<T> = (resolve: (value: T | PromiseLike<T>) => void, reject: (reason: unknown) => void) => void

/**
 * The promise of a call inside a transaction. It records whether it is awaited: an unawaited failure is reported when the
 * transaction ends, and must not end the process as an unhandled rejection.
 */
export class Answer<T> extends Promise<T> {
  isAwaited = false

  constructor(settle: Settle<T>, onFailure: (answer: Answer<unknown>, error: unknown) => void = () => undefined) {
    super(settle)
    super.then(undefined, (error: unknown) => {
      onFailure(this, error)
    })
  }

  // What `then` gives is the caller's own promise.
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** `await`, `catch`, `finally` and the functions of Promise all come here. */
  override then<Kept = T, Caught = never>(
    onKept?: ((value: T) => Kept | PromiseLike<Kept>) | null,
    onFailed?: ((reason: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    this.isAwaited = true
    return super.then(onKept, onFailed)
  }
}
