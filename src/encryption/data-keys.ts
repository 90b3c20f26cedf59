import { randomBytes } from 'node:crypto'
import { BoundedMap } from '../core/bounded-map.js'
import { TenantryError, UnavailableError } from '../core/errors.js'
import type { DataKey, DataKeys, KeyContext, KeyProvider, WrappedKey } from '../core/sealing.js'
import { dataKeyOf, keyIdOf, open, seal } from './envelope.js'

const capacity = 1000
const dataKeyBytes = 32

/** The organizations' data keys, over the provider of the master key. */
export function dataKeysOf(provider: KeyProvider): DataKeys {
  const unwrapped = new Unwrapped(provider)
  return {
    provider,
    make: (context) => wrap(provider, randomBytes(dataKeyBytes), context),
    async rewrap(key, context) {
      const { secret } = await unwrapped.get(key, context)
      return wrap(provider, secret, context)
    },
    unwrap: (key, context) => unwrapped.get(key, context),
    seal,
    open,
    keyIdOf,
  }
}

async function wrap(provider: KeyProvider, dataKey: Uint8Array, context: KeyContext): Promise<WrappedKey> {
  const key = await answered(() => provider.wrap(dataKey, context))
  // Otherwise the secrets that are sealed with it would be lost once this process has ended.
  const opened = await answered(() => provider.unwrap(key, context))
  if (Buffer.from(opened).equals(dataKey)) return key
  throw new UnavailableError('the key provider does not give back the data key that it wrapped')
}

/** What was unwrapped, by the bytes that are stored: a key that was destroyed or wrapped again is never found by its old ones. */
class Unwrapped {
  private readonly keys = new BoundedMap<string, Promise<DataKey>>(capacity)
  readonly #provider: KeyProvider

  constructor(provider: KeyProvider) {
    this.#provider = provider
  }

  get(key: WrappedKey, context: KeyContext): Promise<DataKey> {
    const { orgId, keyId } = context
    const name = [orgId, keyId, key.masterKeyId, Buffer.from(key.wrapped).toString('base64')].join(' ')
    const known = this.keys.get(name)
    if (known !== undefined) return known
    const asked = this.unwrap(key, context)
    this.keys.set(name, asked)
    // A failure must not be cached: the key service may be back the next time.
    asked.catch(() => {
      this.keys.delete(name)
    })
    return asked
  }

  private async unwrap(key: WrappedKey, context: KeyContext): Promise<DataKey> {
    return dataKeyOf(context.keyId, await answered(() => this.#provider.unwrap(key, context)))
  }
}

/** The provider's own errors may quote what they were given, so that only those of this library pass. */
async function answered<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof TenantryError) throw error
    throw new UnavailableError('the key provider failed')
  }
}
