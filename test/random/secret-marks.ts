import { randomBytes } from 'node:crypto'
import type { KeyProvider } from '../../src/core/sealing.js'
import type { Secrets, Tokens } from '../../src/core/scope.js'
import { fromBase62 } from '../../src/encryption/base62.js'
import { keyringProvider } from '../../src/encryption/key-providers.js'
import { derivedKeys, loadKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { SecretSearch } from './secret-search.js'

const purposes = ['cursor', 'api keys', 'invitations', 'sessions', 'stored sessions', 'audit log', 'data keys']
const secretLength = 43
const secretBytes = 32

/** Where a kind of secret is stored or sent as it is, on purpose. It must be in no other place. */
export const shownIn: Readonly<Record<string, readonly string[]>> = {
  // A bind parameter of the statement that stores it, which `log_statement = 'all'` prints.
  'password hash': ['server log', 'table platform.users'],
  'personal value': [
    'server log',
    'table vault.contacts',
    'table platform.customer_profiles',
    'table platform.tax_ids',
    'rows',
  ],
}

/** Makes secrets that a search finds, and notes those that the library makes itself. */
export class SecretMarks {
  readonly search = new SecretSearch()
  readonly keys: string
  readonly provider: KeyProvider
  private readonly marks = new Map<string, string>()
  private count = 0

  constructor(loginPasswords: readonly string[]) {
    const master = randomBytes(secretBytes)
    this.keys = `scan:${master.toString('base64')}`
    this.search.addBytes('master key', master)
    const keyring = loadKeyring(this.keys)
    for (const purpose of purposes) {
      for (const { secret } of derivedKeys(keyring, purpose)) this.search.addBytes(`key for ${purpose}`, secret)
    }
    for (const password of loginPasswords) this.search.add('password of a login', password)
    this.provider = this.watching(keyringProvider(keyring))
  }

  /** A new secret of that kind. */
  of(kind: string): string {
    let head = this.marks.get(kind)
    if (head === undefined) {
      // All of a kind begin alike, so that the search keeps one head for them. No two heads share a form.
      head = `zq${randomBytes(12).toString('hex')}`
      this.marks.set(kind, head)
      this.search.add(kind, head)
    }
    return `${head}x${(this.count++).toString(36)}x`
  }

  /** The provider, which notes the data keys that it is given and that it gives. */
  watching(provider: KeyProvider): KeyProvider {
    return {
      ...provider,
      wrap: (dataKey, context) => {
        this.search.addBytes('data key', dataKey)
        return provider.wrap(dataKey, context)
      },
      unwrap: async (key, context) => {
        const dataKey = await provider.unwrap(key, context)
        this.search.addBytes('data key', dataKey)
        return dataKey
      },
    }
  }

  /** What `openTenancy` derives from the master keys, with tokens that are noted when they are made. */
  secrets(provider = this.provider): Secrets {
    const secrets = secretsOf(loadKeyring(this.keys), undefined, provider)
    return { ...secrets, tokens: this.noted(secrets.tokens) }
  }

  private noted(tokens: Tokens): Tokens {
    return {
      ...tokens,
      makeKey: (orgId) => {
        const made = tokens.makeKey(orgId)
        // Its first eight characters and its last four are shown, so that a person recognises the key.
        const secret = made.token.split('_')[3] ?? ''
        this.search.add('API key', secret.slice(8, -4))
        this.noteNumber('API key', secret)
        return made
      },
      makeInvitation: (orgId) => {
        const made = tokens.makeInvitation(orgId)
        this.noteSecret('invitation token', made.token.split('_')[3] ?? '')
        return made
      },
      makeSession: (...of) => {
        const made = tokens.makeSession(...of)
        for (const { token, refreshToken } of made) {
          this.noteSecret('session token', token.slice(-secretLength))
          this.noteSecret('refresh token', refreshToken.slice(-secretLength))
        }
        return made
      },
    }
  }

  private noteSecret(kind: string, secret: string): void {
    this.search.add(kind, secret)
    this.noteNumber(kind, secret)
  }

  /** The bytes that its digits stand for. */
  private noteNumber(kind: string, secret: string): void {
    const bytes = fromBase62(secret, secretBytes)
    if (bytes !== undefined) this.search.addBytes(kind, bytes)
  }
}

/** A provider that fails, with everything in its error that it was given or would give. */
export function failing(provider: KeyProvider): KeyProvider {
  return {
    ...provider,
    wrap: (dataKey) => Promise.reject(telling(dataKey)),
    unwrap: async (key, context) => {
      throw telling(await provider.unwrap(key, context))
    },
  }
}

function telling(dataKey: Uint8Array): Error {
  // With memory of its own: an inspector prints the whole pool that a small Buffer is a part of.
  const copy = new Uint8Array(dataKey)
  const bytes = Buffer.from(copy.buffer)
  const words = `cannot use ${bytes.toString('hex')} or ${bytes.toString('base64')}`
  return Object.assign(new Error(words, { cause: new Error(words) }), { dataKey: copy, [Symbol('key')]: words })
}
