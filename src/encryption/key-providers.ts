import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { DecryptError } from '../core/errors.js'
import type { KeyContext, KeyProvider } from '../core/sealing.js'
import { lengthPrefixed } from './envelope.js'
import { type DerivedKey, derivedKeys, type Keyring, passingKeyring } from './keyring.js'

// 0x01 | nonce (12) | the data key, encrypted (32) | tag (16)
const version = 0x01
const cipher = 'aes-256-gcm'
const [nonceBytes, tagBytes, wrappedBytes] = [12, 16, 61]

/** The master keys of the environment: the first one wraps, each unwraps what it has wrapped. */
export function keyringProvider(keyring: Keyring): KeyProvider {
  const [active, ...others] = derivedKeys(keyring, 'data keys')
  const ids = [active, ...others].map(({ id }) => id)
  return {
    activeId: active.id,
    ids,
    wrap: (dataKey, context) => Promise.resolve({ masterKeyId: active.id, wrapped: wrap(active, dataKey, context) }),
    // An async function, so that what it throws is a rejection.
    // oxlint-disable-next-line typescript/require-await
    async unwrap({ masterKeyId, wrapped }, context) {
      const master = [active, ...others].find(({ id }) => id === masterKeyId)
      if (master !== undefined) return unwrap(master, wrapped, context)
      throw new DecryptError(
        `the data key of the organization is wrapped by the master key ${masterKeyId}, and this process has ${ids.join(', ')}`,
      )
    },
  }
}

/** One that is loaded when it is needed first: most commands need no master key. */
export function lateProvider(load: () => KeyProvider): KeyProvider {
  let loaded: KeyProvider | undefined
  const provider = () => (loaded ??= load())
  return {
    get activeId() {
      return provider().activeId
    },
    get ids() {
      return provider().ids
    },
    // Async functions, so that what `load` throws is a rejection.
    wrap: async (...given) => provider().wrap(...given),
    unwrap: async (...given) => provider().unwrap(...given),
  }
}

/** A master key in the memory of this process alone, for tests: nothing opens what it wrapped once the process has ended. */
export const memoryKeyProvider = (): KeyProvider => keyringProvider(passingKeyring())

function wrap({ id, secret }: DerivedKey, dataKey: Uint8Array, context: KeyContext): Uint8Array {
  const nonce = randomBytes(nonceBytes)
  const encryption = createCipheriv(cipher, secret, nonce, { authTagLength: tagBytes })
  encryption.setAAD(authenticated(id, context))
  return Buffer.concat([
    Buffer.of(version),
    nonce,
    encryption.update(dataKey),
    encryption.final(),
    encryption.getAuthTag(),
  ])
}

function unwrap({ id, secret }: DerivedKey, wrapped: Uint8Array, context: KeyContext): Uint8Array {
  if (wrapped.length !== wrappedBytes || wrapped[0] !== version) throw new DecryptError()
  const tagAt = wrappedBytes - tagBytes
  const decryption = createDecipheriv(cipher, secret, wrapped.subarray(1, 1 + nonceBytes), { authTagLength: tagBytes })
  decryption.setAAD(authenticated(id, context))
  decryption.setAuthTag(wrapped.subarray(tagAt))
  const dataKey = decryption.update(wrapped.subarray(1 + nonceBytes, tagAt))
  try {
    decryption.final()
    return dataKey
  } catch {
    dataKey.fill(0)
    throw new DecryptError()
  }
}

const authenticated = (masterKeyId: string, { orgId, keyId }: KeyContext): Buffer =>
  lengthPrefixed(['tenantry data key', masterKeyId, orgId, keyId].map((part) => Buffer.from(part)))
