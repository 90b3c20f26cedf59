import type { ChainKeys, CursorKeys, Secrets } from '../core/scope.js'
import type { KeyProvider } from '../core/sealing.js'
import { dataKeysOf } from './data-keys.js'
import { keyringProvider } from './key-providers.js'
import { derivedKeys, type Keyring } from './keyring.js'
import { type TokenFormat, tokensOf } from './tokens.js'

/** What is derived from the master keys. Without a provider of the host's, they wrap the data keys too. */
export const secretsOf = (keyring: Keyring, format?: TokenFormat, provider?: KeyProvider): Secrets => ({
  cursorKeys: unlisted<CursorKeys>(derivedKeys(keyring, 'cursor').map(({ secret }) => secret)),
  tokens: tokensOf(keyring, format),
  dataKeys: dataKeysOf(provider ?? keyringProvider(keyring)),
  chainKeys: unlisted<ChainKeys>(derivedKeys(keyring, 'audit log')),
  hasKeyProvider: provider !== undefined,
})

/** Not enumerable, so that no logger prints the keys with a tenancy or a scope. */
const unlisted = <Keys extends object>(keys: readonly unknown[]): Keys =>
  Object.defineProperty({}, 'keys', { value: keys }) as Keys
