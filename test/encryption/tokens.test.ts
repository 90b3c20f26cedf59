import { createHmac } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { numberInBase62 } from '../../src/encryption/base62.js'
import { derivedKeys, passingKeyring } from '../../src/encryption/keyring.js'
import { tokensOf } from '../../src/encryption/tokens.js'

const keyring = passingKeyring()
const tokens = tokensOf(keyring)

/** With the checksum that belongs to it. */
const summed = (body: string) => `${body}_${numberInBase62(crc32(body), 6)}`

test.each([
  ['key', 'tk_live_', (token: string) => tokens.readKey(token), () => tokens.makeKey(newId()).token],
  [
    'invitation',
    'tki_live_',
    (token: string) => tokens.readInvitation(token),
    () => tokens.makeInvitation(newId()).token,
  ],
] as const)('the organization and the secret of a token of a %s have one spelling each', (_, head, read, make) => {
  const [, , organization = '', secret = ''] = make().split('_')
  expect(read(summed(`${head}${organization}_${secret}`))).toBeDefined()
  // Larger numbers than 16 and 32 bytes hold, which would be read as others.
  expect(read(summed(`${head}${'z'.repeat(22)}_${secret}`))).toBeUndefined()
  expect(read(summed(`${head}${organization}_${'z'.repeat(43)}`))).toBeUndefined()
  expect(read(summed(`${head}${organization}_${secret}0`))).toBeUndefined()
})

test('a token of one kind is none of another', () => {
  const [key, invitation] = [tokens.makeKey(newId()).token, tokens.makeInvitation(newId()).token]
  const [{ token, refreshToken }] = tokens.makeSession(newId(), newId(), 0)
  const readers = ['readKey', 'readInvitation', 'readSession', 'readRefresh'] as const
  const read = [key, invitation, token, refreshToken].map((one) =>
    readers.filter((name) => tokens[name](one) !== undefined),
  )
  expect(read).toEqual(readers.map((name) => [name]))
})

test('of a token only its HMAC-SHA256 is stored, over the whole of it and under a key of its kind', () => {
  const hashed = (purpose: string, token: string) =>
    createHmac('sha256', derivedKeys(keyring, purpose)[0].secret).update(token).digest('hex')
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const [key, invitation] = [tokens.makeKey(newId()), tokens.makeInvitation(newId())]
  const [session] = tokens.makeSession(newId(), newId(), 0)
  expect(hex(key.keyHash)).toBe(hashed('api keys', key.token))
  expect(hex(invitation.tokenHash)).toBe(hashed('invitations', invitation.token))
  expect(hex(session.tokenHash)).toBe(hashed('stored sessions', session.token))
  expect(hex(session.refreshHash)).toBe(hashed('stored sessions', session.refreshToken))
  expect([key, invitation, session].map(({ pepperId }) => pepperId)).toEqual(['dev', 'dev', 'dev'])
})
