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

test('a session token with any character changed, added or left out is none', () => {
  const [{ token, refreshToken }] = tokens.makeSession(newId(), newId(), 3)
  for (const [text, read] of [
    [token, (given: string) => tokens.readSession(given)],
    [refreshToken, (given: string) => tokens.readRefresh(given)],
  ] as const) {
    expect(read(text)).toMatchObject({ generation: 3 })
    for (let at = 0; at <= text.length; at++) {
      const [before, after] = [text.slice(0, at), text.slice(at + 1)]
      for (const one of ['', '0', 'z', '_', 'é', '\0'].filter((sign) => sign !== text[at])) {
        if (at < text.length) expect(read(before + one + after)).toBeUndefined()
        if (one !== '') expect(read(before + one + text.slice(at))).toBeUndefined()
      }
    }
  }
})

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

test('the code of a session token has one spelling', () => {
  // A larger number of 43 digits that is the same modulo 2^256. One code in fifty has such a one.
  const twinOf = (code: string) => {
    const read = Array.from(code).reduce((sum, digit) => sum * 62n + BigInt(digits.indexOf(digit)), 0n)
    let rest = read + (1n << 256n)
    let text = ''
    for (; rest > 0n; rest /= 62n) text = digits.charAt(Number(rest % 62n)) + text
    return text
  }
  let [token, twin] = ['', '']
  for (let generation = 0; twin.length !== 43; generation++) {
    token = tokens.makeSession(newId(), newId(), generation)[0].token
    twin = twinOf(token.slice(-43))
  }
  expect(tokens.readSession(token)).toBeDefined()
  expect(tokens.readSession(token.slice(0, -43) + twin)).toBeUndefined()
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
