import { customType } from 'drizzle-orm/pg-core'

declare const sealed: unique symbol

/** Bytes that only the encryption module makes and opens. Absent from row types, default reads, exports and audit entries. */
export type Ciphertext = Uint8Array & { readonly [sealed]: true }

/** A sealed column. Nullable, so that its key can be destroyed without losing the row. */
export const ciphertext = customType<{ data: Ciphertext; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  toDriver: (value) => value,
  fromDriver: (value) => value as Ciphertext,
})

/** Plain bytes: hashes and signatures. */
export const bytes = customType<{ data: Uint8Array; driverData: Uint8Array }>({
  dataType: () => 'bytea',
  toDriver: (value) => value,
  fromDriver: (value) => value,
})
