import { type SQL, sql } from 'drizzle-orm'
import { char, check, numeric, pgSchema, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** Every table of the library lives in this Postgres schema. */
export const platform = pgSchema('platform')

export const orgId = () => uuid('org_id').notNull()

/** A UUIDv7 made by the library, so that it sorts by age and an insert reveals nothing. The database has no default. */
export const id = () => uuid('id').notNull()

export const instant = <Name extends string>(name: Name) => timestamp(name, { withTimezone: true })

export const createdAt = () => instant('created_at').notNull().defaultNow()

export const timestamps = () => ({ createdAt: createdAt(), updatedAt: instant('updated_at').notNull().defaultNow() })

/** Once this is set, reads hide the row. */
export const softDelete = () => ({ deletedAt: instant('deleted_at') })

/** One of a fixed list of words. Needs a `stateCheck` with the same list. */
export const state = <Name extends string, Word extends string>(name: Name, words: readonly [Word, ...Word[]]) =>
  text(name, { enum: words as [Word, ...Word[]] })

/** Decimal strings in TypeScript: a JavaScript number would lose cents. */
export const money = <Name extends string>(name: Name) => numeric(name, { precision: 14, scale: 2 })

export const currency = () => char('currency', { length: 3 })

/**
 * The text of a check or of an index predicate. Literal SQL with bare column names, because a bound value would become `$1` in the
 * migration.
 */
export const literal = (predicate: string): SQL => sql.raw(predicate)

/** A text column of an index that finds what begins with a text, in databases of any collation. */
export const byBytes = (column: string): SQL => literal(`${column} collate "C"`)

export const stateCheck = (name: string, column: string, words: readonly string[]) =>
  check(name, literal(`${column} in (${words.map((word) => `'${word}'`).join(', ')})`))

/** A check on a numeric or double column. It excludes NaN by name, because `NaN > 0` is true in Postgres. */
export const numberCheck = (name: string, column: string, predicate?: string) =>
  check(name, literal(predicate === undefined ? `${column} <> 'NaN'` : `${predicate} and ${column} <> 'NaN'`))

export const lowerCaseCheck = (name: string, column: string) => check(name, literal(`${column} = lower(${column})`))
