/** A running Postgres, before anything is created in it. */
export interface FoundServer {
  /** The url of an administrator. */
  readonly url: string
  readonly stop: () => Promise<void>
}

/** Settings for a server with data that may be lost, and many short-lived pools. */
export const serverSettings: readonly string[] = [
  'fsync=off',
  'full_page_writes=off',
  'synchronous_commit=off',
  'max_connections=300',
]
