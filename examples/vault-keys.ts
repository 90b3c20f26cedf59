// A key provider over Vault's transit engine. The key must be of the type aes256-gcm96, which authenticates associated data.
import { DecryptError, type KeyContext, type KeyProvider, UnavailableError } from 'tenantry'

export interface VaultOptions {
  /** Such as `https://vault.internal:8200`. */
  readonly address: string
  readonly token: () => string | Promise<string>
  /** The name of the transit key. */
  readonly key: string
}

export function vaultKeys({ address, token, key }: VaultOptions): KeyProvider {
  const id = `vault:${key}`

  async function ask(verb: 'encrypt' | 'decrypt', body: object): Promise<Record<string, string>> {
    const response = await fetch(`${address}/v1/transit/${verb}/${key}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-vault-token': await token() },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(5000),
    })
    if (response.ok) return ((await response.json()) as { data: Record<string, string> }).data
    // Vault answers 400 to a ciphertext that does not open under this key and context.
    if (verb === 'decrypt' && response.status === 400) throw new DecryptError('Vault does not open this data key')
    throw new UnavailableError(`Vault answered ${response.status}`)
  }

  return {
    activeId: id,
    ids: [id],
    async wrap(dataKey, context) {
      const { ciphertext = '' } = await ask('encrypt', {
        plaintext: Buffer.from(dataKey).toString('base64'),
        associated_data: textOf(context),
      })
      return { masterKeyId: id, wrapped: Buffer.from(ciphertext) }
    },
    async unwrap({ masterKeyId, wrapped }, context) {
      if (masterKeyId !== id) throw new DecryptError(`the data key is wrapped by ${masterKeyId}`)
      const { plaintext = '' } = await ask('decrypt', {
        ciphertext: Buffer.from(wrapped).toString(),
        associated_data: textOf(context),
      })
      return Buffer.from(plaintext, 'base64')
    },
  }
}

const textOf = ({ orgId, keyId }: KeyContext): string => Buffer.from(`${orgId}/${keyId}`).toString('base64')
