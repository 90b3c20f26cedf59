import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { vaultKeys } from '../../examples/vault-keys.js'
import { DecryptError, UnavailableError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { KeyProvider } from '../../src/core/sealing.js'
import { dataKeysOf } from '../../src/encryption/data-keys.js'
import { keyringProvider, memoryKeyProvider } from '../../src/encryption/key-providers.js'
import { loadKeyring } from '../../src/encryption/keyring.js'

const context = { orgId: newId(), keyId: newId() }
const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
const ring = (...keys: string[]) => keyringProvider(loadKeyring(keys.join()))

/** Vault's transit engine, as far as the example speaks to it. */
async function fakeVault() {
  const secret = randomBytes(32)
  const requests: string[] = []
  const server = createServer((request, response) => {
    const answer = async () => {
      const body = JSON.parse(await text(request)) as Record<'plaintext' | 'ciphertext' | 'associated_data', string>
      requests.push(`${request.method ?? ''} ${request.url ?? ''}`)
      if (request.headers['x-vault-token'] !== 'token') return [403, {}] as const
      const aad = Buffer.from(body.associated_data, 'base64')
      if (request.url === '/v1/transit/encrypt/tenantry') {
        const nonce = randomBytes(12)
        const encryption = createCipheriv('aes-256-gcm', secret, nonce).setAAD(aad)
        const parts = [nonce, encryption.update(body.plaintext, 'base64'), encryption.final(), encryption.getAuthTag()]
        return [200, { data: { ciphertext: `vault:v1:${Buffer.concat(parts).toString('base64')}` } }] as const
      }
      try {
        const bytes = Buffer.from(body.ciphertext.slice('vault:v1:'.length), 'base64')
        const decryption = createDecipheriv('aes-256-gcm', secret, bytes.subarray(0, 12), { authTagLength: 16 })
        decryption.setAAD(aad).setAuthTag(bytes.subarray(-16))
        const opened = Buffer.concat([decryption.update(bytes.subarray(12, -16)), decryption.final()])
        return [200, { data: { plaintext: opened.toString('base64') } }] as const
      } catch {
        return [400, { errors: ['cipher: message authentication failed'] }] as const
      }
    }
    void answer().then(([status, document]) => response.writeHead(status).end(JSON.stringify(document)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { address, requests }
}

const providers: [string, () => Promise<KeyProvider>][] = [
  ['the keyring', () => Promise.resolve(ring(key('one', 1), key('two', 2)))],
  ['the one in memory', () => Promise.resolve(memoryKeyProvider())],
  [
    'the example for Vault',
    async () => vaultKeys({ address: (await fakeVault()).address, token: () => 'token', key: 'tenantry' }),
  ],
]

describe.each(providers)('%s', (_, open) => {
  test('gives back what it wrapped, to its own context alone', async () => {
    const provider = await open()
    const dataKey = randomBytes(32)
    const wrapped = await provider.wrap(dataKey, context)
    expect(wrapped.masterKeyId).toBe(provider.activeId)
    expect(Buffer.from(wrapped.wrapped).includes(dataKey)).toBe(false)
    expect(Buffer.from(await provider.unwrap(wrapped, context))).toEqual(dataKey)
    for (const other of [
      { ...context, orgId: newId() },
      { ...context, keyId: newId() },
    ])
      await expect(provider.unwrap(wrapped, other)).rejects.toThrow(DecryptError)
    await expect(provider.unwrap({ ...wrapped, masterKeyId: 'another' }, context)).rejects.toThrow(DecryptError)
    const cut = { ...wrapped, wrapped: wrapped.wrapped.slice(0, -1) }
    await expect(provider.unwrap(cut, context)).rejects.toThrow(DecryptError)
  })
})

test('every byte of a key that the keyring has wrapped is authenticated', async () => {
  const provider = ring(key('one', 1))
  const { wrapped } = await provider.wrap(randomBytes(32), context)
  for (let at = 0; at < wrapped.length; at++) {
    const changed = Uint8Array.from(wrapped)
    changed[at] = (changed[at] ?? 0) ^ 1
    await expect(provider.unwrap({ masterKeyId: 'one', wrapped: changed }, context)).rejects.toThrow(DecryptError)
  }
})

test('the first key of a keyring wraps, and each unwraps', async () => {
  const before = ring(key('one', 1))
  const wrapped = await before.wrap(randomBytes(32), context)
  const after = ring(key('two', 2), key('one', 1))
  expect([after.activeId, after.ids]).toEqual(['two', ['two', 'one']])
  expect(await after.unwrap(wrapped, context)).toEqual(await before.unwrap(wrapped, context))
  await expect(ring(key('two', 2)).unwrap(wrapped, context)).rejects.toThrow('and this process has two')
  // Another master key of the same name.
  await expect(ring(key('one', 3)).unwrap(wrapped, context)).rejects.toThrow(DecryptError)
})

test('a keyring can be read from a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-keyring-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  const file = join(folder, 'keys')
  writeFileSync(file, `${key('one', 1)}\n`)
  expect(keyringProvider(loadKeyring({ file })).activeId).toBe('one')
  expect(() => loadKeyring({ file: join(folder, 'none') })).toThrow('keys.file: cannot be read (ENOENT)')
  writeFileSync(file, 'nonsense')
  expect(() => loadKeyring({ file })).toThrow(/^keys\.file: key 1 is not written as/)
})

test('a key service is asked once for what is in memory, and a failure is its own', async () => {
  const { address, requests } = await fakeVault()
  const keys = dataKeysOf(vaultKeys({ address, token: () => 'token', key: 'tenantry' }))
  const wrapped = await keys.make(context)
  requests.length = 0
  const opened = await Promise.all(Array.from({ length: 20 }, () => keys.unwrap(wrapped, context)))
  expect(requests).toEqual(['POST /v1/transit/decrypt/tenantry'])
  expect(inspect([keys, opened], { depth: null, showHidden: false })).not.toContain('Uint8Array')
  const refused = dataKeysOf(vaultKeys({ address, token: () => 'wrong', key: 'tenantry' }))
  await expect(refused.unwrap(wrapped, context)).rejects.toThrow('Vault answered 403')
  const away = dataKeysOf(vaultKeys({ address: 'http://127.0.0.1:1', token: () => 'token', key: 'tenantry' }))
  await expect(away.unwrap(wrapped, context)).rejects.toThrow(UnavailableError)
})

test('a provider that does not give back what it wrapped makes no key', async () => {
  const keys = dataKeysOf({ ...memoryKeyProvider(), unwrap: () => Promise.resolve(randomBytes(32)) })
  await expect(keys.make(context)).rejects.toThrow('does not give back')
})
