import type { LockOptions } from '../database/session-lock.js'
import type { Session } from '../database/session.js'
import type { Direction } from './bookkeeping.js'

/** The events of a run. Each is awaited. */
export type MigrationProgress =
  /** Another migrator is running on this database. Reported once. */
  | { readonly kind: 'waiting'; readonly holder: string }
  /** `done` of the file's statements have run. Reported before each one and after the last. */
  | {
      readonly kind: 'running'
      readonly set: string
      readonly tag: string
      readonly direction: Direction
      readonly done: number
      readonly of: number
    }
  /** A table lock was not free in time: the file was rolled back, and is tried again after a pause. */
  | {
      readonly kind: 'retrying'
      readonly set: string
      readonly tag: string
      readonly direction: Direction
      readonly attempt: number
      readonly of: number
    }
  | { readonly kind: 'finished'; readonly set: string; readonly tag: string; readonly direction: Direction }

export interface MigrateOptions extends LockOptions {
  /**
   * How many milliseconds a statement may wait for a table lock before the file is rolled back and tried again. Later statements
   * queue behind it, so this is also how long a migration can hold up the application. Default: 1000.
   */
  readonly lockTimeout?: number
  /** The number of attempts for a file. The pauses grow; ten attempts outlast a reader of about a minute. Default: 10. */
  readonly attempts?: number
  readonly onProgress?: (progress: MigrationProgress) => void | Promise<void>
  /** Called in the transaction of a file that is applied, before each statement that may add a foreign key. */
  readonly beforeForeignKey?: (session: Session) => Promise<void>
}
