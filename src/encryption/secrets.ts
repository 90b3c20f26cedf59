import type { CursorKeys, Secrets } from '../core/scope.js'
import { derivedKeys, type Keyring } from './keyring.js'
import { type TokenFormat, tokensOf } from './tokens.js'

/** What is derived from the master keys. */
export const secretsOf = (keyring: Keyring, format?: TokenFormat): Secrets => ({
  // Not enumerable, so that no logger prints them with a tenancy or a scope.
  cursorKeys: Object.defineProperty({}, 'keys', {
    value: derivedKeys(keyring, 'cursor').map(({ secret }) => secret),
  }) as CursorKeys,
  tokens: tokensOf(keyring, format),
})
