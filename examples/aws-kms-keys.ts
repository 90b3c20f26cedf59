// A key provider over AWS KMS, with requests that are signed here. With the AWS SDK, replace `ask` by its client.
import { createHash, createHmac } from 'node:crypto'
import { DecryptError, type KeyContext, type KeyProvider, UnavailableError } from 'tenantry'

export interface AwsOptions {
  readonly region: string
  /** The ARN of the key. */
  readonly keyId: string
  readonly credentials: () => Promise<AwsCredentials>
}

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export function awsKmsKeys({ region, keyId, credentials }: AwsOptions): KeyProvider {
  async function ask(target: 'Encrypt' | 'Decrypt', body: object): Promise<Record<string, string>> {
    const text = JSON.stringify({ KeyId: keyId, ...body })
    const response = await fetch(`https://kms.${region}.amazonaws.com/`, {
      method: 'POST',
      headers: signed(region, `TrentService.${target}`, text, await credentials()),
      body: text,
      signal: AbortSignal.timeout(5000),
    })
    const answer = (await response.json()) as Record<string, string>
    if (response.ok) return answer
    if (answer.__type?.endsWith('InvalidCiphertextException') === true)
      throw new DecryptError('the key service does not open this data key')
    throw new UnavailableError(`the key service answered ${response.status}`)
  }

  return {
    activeId: keyId,
    ids: [keyId],
    async wrap(dataKey, context) {
      const Plaintext = Buffer.from(dataKey).toString('base64')
      const { CiphertextBlob = '' } = await ask('Encrypt', { Plaintext, EncryptionContext: named(context) })
      return { masterKeyId: keyId, wrapped: Buffer.from(CiphertextBlob, 'base64') }
    },
    async unwrap({ masterKeyId, wrapped }, context) {
      if (masterKeyId !== keyId) throw new DecryptError(`the data key is wrapped by ${masterKeyId}`)
      const CiphertextBlob = Buffer.from(wrapped).toString('base64')
      const { Plaintext = '' } = await ask('Decrypt', { CiphertextBlob, EncryptionContext: named(context) })
      return Buffer.from(Plaintext, 'base64')
    },
  }
}

const named = ({ orgId, keyId }: KeyContext) => ({ organization: orgId, key: keyId })

const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** The headers with an AWS signature of version 4. */
function signed(
  region: string,
  target: string,
  body: string,
  { accessKeyId, secretAccessKey, sessionToken }: AwsCredentials,
) {
  const moment = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const day = moment.slice(0, 8)
  const headers: Record<string, string> = {
    'content-type': 'application/x-amz-json-1.1',
    host: `kms.${region}.amazonaws.com`,
    'x-amz-date': moment,
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
    'x-amz-target': target,
  }
  const names = Object.keys(headers).sort()
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('')
  const request = ['POST', '/', '', lines, names.join(';'), sha256(body)].join('\n')
  const place = `${day}/${region}/kms/aws4_request`
  const key = [region, 'kms', 'aws4_request'].reduce<Buffer>(hmac, hmac(`AWS4${secretAccessKey}`, day))
  const signature = hmac(key, ['AWS4-HMAC-SHA256', moment, place, sha256(request)].join('\n')).toString('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${place}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return { ...headers, authorization }
}
