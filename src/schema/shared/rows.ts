import type { PgTable } from 'drizzle-orm/pg-core'
import type { Ciphertext } from './ciphertext.js'

/** The result of a read: every column but the sealed ones. */
export type Row<Table extends PgTable> = Open<Table['$inferSelect']>

type Open<Columns> = { [Key in keyof Columns as Columns[Key] extends Ciphertext | null ? never : Key]: Columns[Key] }
