/** An organization's key for its sealed columns. Its secret is not enumerable. */
export interface DataKey {
  readonly id: string
  readonly secret: Uint8Array
}

/** The cell that a ciphertext belongs to. */
export interface SealedPlace {
  readonly orgId: string
  /** `schema.table.column` */
  readonly column: string
  readonly rowId: string
}

/** What a wrapped data key belongs to. A key that was moved to another organization or row must not unwrap. */
export interface KeyContext {
  readonly orgId: string
  readonly keyId: string
}

/** A data key as it is stored: encrypted under a master key. */
export interface WrappedKey {
  readonly masterKeyId: string
  readonly wrapped: Uint8Array
}

/**
 * Wraps the organizations' data keys under a master key, which never leaves it. It fits the key services of AWS, Google and Vault: both
 * methods may ask over the network. `wrap` and `unwrap` must authenticate the context.
 */
export interface KeyProvider {
  /** The id of the master key that wraps new data keys: 1 to 255 characters. */
  readonly activeId: string
  /** The ids of the master keys that it can unwrap with, the active one too. */
  readonly ids: readonly string[]
  wrap(dataKey: Uint8Array, context: KeyContext): Promise<WrappedKey>
  /**
   * Throws DecryptError when the key does not open, because the master key or the context is another one. Any other error becomes an
   * UnavailableError, and then says nothing about whether the key is right.
   */
  unwrap(key: WrappedKey, context: KeyContext): Promise<Uint8Array>
}

/** Makes and opens data keys, and seals with them. */
export interface DataKeys {
  readonly provider: Pick<KeyProvider, 'activeId' | 'ids'>
  /** A new data key, wrapped under the active master key. */
  make(context: KeyContext): Promise<WrappedKey>
  /** Wraps a stored data key again, under the active master key. */
  rewrap(key: WrappedKey, context: KeyContext): Promise<WrappedKey>
  /** Keeps what it unwrapped in memory, so that a key service is not asked for each request. Throws DecryptError. */
  unwrap(key: WrappedKey, context: KeyContext): Promise<DataKey>
  seal(key: DataKey, place: SealedPlace, text: string): Uint8Array
  /** Throws DecryptError. */
  open(key: DataKey, place: SealedPlace, sealed: Uint8Array): string
  /** Throws DecryptError for what is no ciphertext. */
  keyIdOf(sealed: unknown): string
}
