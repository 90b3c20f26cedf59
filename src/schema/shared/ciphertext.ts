import type { Column } from 'drizzle-orm'
import { customType } from 'drizzle-orm/pg-core'

declare const sealed: unique symbol

/**
 * Encrypted bytes. Only the encryption module creates and decrypts them. Left out of row types, default reads, exports and audit
 * entries.
 */
export type Ciphertext = Uint8Array & { readonly [sealed]: true }

const open = (value: Uint8Array) => plain(value) as Ciphertext

/** Drizzle reads related rows as JSON, where bytes are text such as `\\x00ff`. */
const plain = (value: Uint8Array | string): Uint8Array =>
  typeof value === 'string' ? Buffer.from(value.slice(2), 'hex') : value

/** A sealed column. Nullable, so that its key can be destroyed without deleting the row. */
export const ciphertext = customType<{ data: Ciphertext; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  toDriver(value: unknown) {
    // A text would be stored as it is.
    if (value instanceof Uint8Array) return value
    throw new TypeError('only ciphertext is written to a sealed column')
  },
  fromDriver: open,
})

// The SQL type is bytea, as for plain bytes, so the column is recognised by the function that Drizzle keeps on it.
export const isSealed = (column: Column): boolean => 'mapFrom' in column && column.mapFrom === open

/** Plain bytes: hashes and signatures. */
export const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  toDriver: (value) => value,
  fromDriver: plain,
})
