import type { PgTable } from 'drizzle-orm/pg-core'
import type { Ciphertext } from './ciphertext.js'

/** What a read gives: every column but the sealed ones. */
export type Row<Table extends PgTable> = Open<Table['$inferSelect']>

type Open<Columns> = { [Key in keyof Columns as Ciphertext extends Columns[Key] ? never : Key]: Columns[Key] }
