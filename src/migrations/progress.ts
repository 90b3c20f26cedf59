import type { LockOptions } from '../database/session-lock.js'
import type { Direction } from './bookkeeping.js'

/** What a run tells while it goes on. Each is awaited. */
export type MigrationProgress =
  /** Another migrator is at work on this database. Told once. */
  | { readonly kind: 'waiting'; readonly holder: string }
  /** `done` of the file's statements have run; told before each one and after the last. */
  | {
      readonly kind: 'running'
      readonly set: string
      readonly tag: string
      readonly direction: Direction
      readonly done: number
      readonly of: number
    }
  /** A table's lock was not free in time: the file was rolled back, and is tried again after a pause. */
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
   * How long a statement may wait for a lock on a table before the file is rolled back and tried again, in milliseconds. Everybody
   * who comes after it queues behind a waiting statement, so this is also how long a migration may hold up the application. Default: 1000.
   */
  readonly lockTimeout?: number
  /** How often a file is tried before the run gives up. The pauses grow; ten attempts outlast a reader of about a minute. Default: 10. */
  readonly attempts?: number
  readonly onProgress?: (progress: MigrationProgress) => void | Promise<void>
}
