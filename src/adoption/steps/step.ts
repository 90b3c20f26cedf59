/** Statements that run one by one, each in a transaction of its own. */
export interface Step {
  readonly up: readonly string[]
  readonly down: readonly string[]
}
