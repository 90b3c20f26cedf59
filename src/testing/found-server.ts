/** A Postgres that answers, before anything is made in it. */
export interface FoundServer {
  /** The url of an administrator. */
  readonly url: string
  readonly stop: () => Promise<void>
}

/** For a server whose data nobody keeps, and many short-lived pools. */
export const serverSettings: readonly string[] = [
  'fsync=off',
  'full_page_writes=off',
  'synchronous_commit=off',
  'max_connections=300',
]
