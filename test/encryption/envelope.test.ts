import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecryptError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { SealedPlace } from '../../src/core/sealing.js'
import { dataKeyOf, keyIdOf, newDataKey, open, seal } from '../../src/encryption/envelope.js'

const key = newDataKey(newId())
const place: SealedPlace = { orgId: newId(), column: 'platform.credentials.anon_key', rowId: newId() }
const sealed = seal(key, place, 'marker-secret')
const opening =
  (bytes: Uint8Array, at = place, under = key) =>
  () =>
    open(under, at, bytes)

test('opens what it sealed, whatever text it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(open(key, place, seal(key, place, text))).toBe(text)
    }),
  )
  expect(open(key, place, seal(key, place, ''))).toBe('')
})

test('has the documented form, and another nonce each time', () => {
  expect(sealed).toHaveLength(2 + 16 + 12 + 'marker-secret'.length + 16)
  expect([...sealed.subarray(0, 2)]).toEqual([1, 1])
  expect(Buffer.from(sealed.subarray(2, 18)).toString('hex')).toBe(key.id.replaceAll('-', ''))
  expect(keyIdOf(sealed)).toBe(key.id)
  const nonces = Array.from({ length: 100 }, () => Buffer.from(seal(key, place, 'x').subarray(18, 30)).toString('hex'))
  expect(new Set(nonces).size).toBe(100)
  expect(Buffer.from(sealed).includes('marker')).toBe(false)
})

test('every flipped bit of every byte is refused', () => {
  for (let at = 0; at < sealed.length; at++) {
    for (let bit = 1; bit < 256; bit <<= 1) {
      const changed = Uint8Array.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ bit
      expect(opening(changed), `byte ${at}, bit ${bit}`).toThrow(DecryptError)
    }
  }
})

test('every truncation, a longer value and another type are refused', () => {
  for (let length = 0; length < sealed.length; length++) {
    expect(opening(sealed.slice(0, length)), `${length} bytes`).toThrow(DecryptError)
    expect(opening(sealed.slice(sealed.length - length)), `the last ${length} bytes`).toThrow(DecryptError)
  }
  expect(opening(Buffer.concat([sealed, Buffer.of(0)]))).toThrow(DecryptError)
  // A tag of 4, 8 or 12 bytes, where the lengths of header and nonce still fit.
  for (const tag of [4, 8, 12]) expect(opening(sealed.slice(0, sealed.length - 16 + tag))).toThrow(DecryptError)
  for (const other of [null, undefined, '', 'text', {}, []]) expect(opening(other as never)).toThrow(DecryptError)
})

describe('a value that was moved', () => {
  test.each([
    ['another row', { ...place, rowId: newId() }],
    ['another column', { ...place, column: 'platform.credentials.jwt_secret' }],
    ['another table', { ...place, column: 'platform.projects.anon_key' }],
    ['another organization', { ...place, orgId: newId() }],
    ['parts that are cut elsewhere', { ...place, orgId: place.orgId.slice(0, -1), column: `x${place.column}` }],
  ])('to %s is refused', (_, elsewhere) => {
    expect(opening(sealed, elsewhere)).toThrow(DecryptError)
  })
})

test('another key is refused, also one that has the same id', () => {
  expect(opening(sealed, place, newDataKey(newId()))).toThrow(DecryptError)
  expect(opening(sealed, place, newDataKey(key.id))).toThrow(DecryptError)
})

test('the header is authenticated: an id that is changed together with the key does not open', () => {
  const renamed = dataKeyOf(newId(), key.secret)
  const changed = Uint8Array.from(sealed)
  changed.set(Buffer.from(renamed.id.replaceAll('-', ''), 'hex'), 2)
  expect(keyIdOf(changed)).toBe(renamed.id)
  expect(opening(changed, place, renamed)).toThrow(DecryptError)
})

test('columns have keys of their own', () => {
  // Without the column in the AAD, the derived key alone would have to refuse it; with it, both do.
  expect(opening(seal(key, { ...place, column: 'a.b.c' }, 'x'), { ...place, column: 'a.b.d' })).toThrow(DecryptError)
})

test('a data key of another length is none, and prints only its id', () => {
  for (const length of [0, 16, 31, 33]) expect(() => dataKeyOf(newId(), new Uint8Array(length))).toThrow(DecryptError)
  expect(JSON.stringify(key)).toBe(`{"id":"${key.id}"}`)
  expect(Object.keys(key)).toEqual(['id'])
})

test('the error says nothing of the value', () => {
  const changed = Uint8Array.from(sealed)
  changed[40] = 0
  expect(opening(changed)).toThrow(/^this value cannot be decrypted$/)
  expect(new DecryptError('the key a is missing').toJSON()).toEqual({
    code: 'decrypt',
    message: 'this value cannot be decrypted',
  })
})
