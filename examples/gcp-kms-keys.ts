// A key provider over Google Cloud KMS.
import { DecryptError, type KeyContext, type KeyProvider, UnavailableError } from 'tenantry'

export interface GcpOptions {
  /** `projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>` */
  readonly name: string
  /** An access token, such as that of the metadata server. */
  readonly token: () => Promise<string>
}

export function gcpKmsKeys({ name, token }: GcpOptions): KeyProvider {
  async function ask(verb: 'encrypt' | 'decrypt', body: object): Promise<Record<string, string>> {
    const response = await fetch(`https://cloudkms.googleapis.com/v1/${name}:${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${await token()}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(5000),
    })
    if (response.ok) return (await response.json()) as Record<string, string>
    if (verb === 'decrypt' && response.status === 400)
      throw new DecryptError('the key service does not open this data key')
    throw new UnavailableError(`the key service answered ${response.status}`)
  }

  return {
    activeId: name,
    ids: [name],
    async wrap(dataKey, context) {
      const plaintext = Buffer.from(dataKey).toString('base64')
      const { ciphertext = '' } = await ask('encrypt', { plaintext, additionalAuthenticatedData: textOf(context) })
      return { masterKeyId: name, wrapped: Buffer.from(ciphertext, 'base64') }
    },
    async unwrap({ masterKeyId, wrapped }, context) {
      if (masterKeyId !== name) throw new DecryptError(`the data key is wrapped by ${masterKeyId}`)
      const ciphertext = Buffer.from(wrapped).toString('base64')
      const { plaintext = '' } = await ask('decrypt', { ciphertext, additionalAuthenticatedData: textOf(context) })
      return Buffer.from(plaintext, 'base64')
    },
  }
}

const textOf = ({ orgId, keyId }: KeyContext): string => Buffer.from(`${orgId}/${keyId}`).toString('base64')
