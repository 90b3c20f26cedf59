import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { channels } from './hearing.js'
import { secretOperations } from './secret-operations.js'
import { Found } from './secret-places.js'
import { places } from './secret-plants.js'
import { SecretSearch, textsOf } from './secret-search.js'

test('no secret is anywhere after random calls and failures of every kind', async () => {
  const { faults, searched, shown, errors } = await secretOperations({ operations: 220, seed: 1 })
  expect(faults).toEqual([])
  // In each of them a secret was planted.
  expect(searched).toEqual([...places].sort())
  expect(shown).toEqual([
    'password hash in server log',
    'password hash in table platform.users',
    'personal value in rows',
    'personal value in server log',
    'personal value in table platform.customer_profiles',
    'personal value in table platform.tax_ids',
    'personal value in table vault.contacts',
  ])
  expect(Object.keys(errors)).toEqual(
    expect.arrayContaining([
      ...['BrokenReferenceError', 'ConflictError', 'ForbiddenError', 'InvalidInputError', 'NotFoundError'],
      ...['TimeoutError', 'UnauthorizedError', 'UnavailableError', 'TransactionAbortedError', 'ScopeClosedError'],
    ]),
  )
})

test('every channel of the library is listened to', () => {
  const source = new URL('../../src/', import.meta.url).pathname
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const made = files.flatMap((file) => {
    const text = readFileSync(join(source, file), 'utf8')
    return [...text.matchAll(/\b(?:tracingC|c)hannel\('([^']+)'/g)].map(([, name]) => name)
  })
  expect(made.sort()).toEqual([...channels].sort())
})

const secret = 'zqSecretThatIsLongEnoughToBeFound7'
const bytes = Buffer.from(secret)

function searchFor(kind: string): SecretSearch {
  const search = new SecretSearch()
  search.add(kind, secret)
  return search
}

test.each([
  ['as it is', `before ${secret} after`],
  ['cut off at its end', secret.slice(0, 20)],
  ['cut off at its beginning', secret.slice(-20)],
  ['in hexadecimal', `\\x00${bytes.toString('hex')}00`],
  ['in hexadecimal of capitals', bytes.toString('hex').toUpperCase()],
  ...[0, 1, 2].map((before) => [
    `in base64 after ${before} other bytes`,
    Buffer.concat([Buffer.alloc(before, 7), bytes, Buffer.alloc(3, 7)]).toString('base64'),
  ]),
  ['in base64 for a url', bytes.toString('base64url')],
  ['as a printed buffer', inspect(bytes)],
  ['as a printed array of bytes', inspect(new Uint8Array(bytes), { maxArrayLength: null })],
  ['as JSON of a buffer', JSON.stringify(bytes)],
  ['as JSON of an array of bytes', JSON.stringify(new Uint8Array(bytes))],
])('a secret is found %s', (_, text) => {
  expect(searchFor('token').find(text)).toMatchObject([{ kind: 'token' }])
})

test('what is no secret is not found', () => {
  const other = Buffer.from(`${secret.slice(0, 19)} ${secret.slice(-19)} ${'a'.repeat(1000)}`)
  expect(searchFor('token').find(`${other.toString()} ${other.toString('hex').slice(0, 18)}`)).toEqual([])
})

class Holding extends Error {
  readonly #secret = secret
  get held() {
    return [this.#secret]
  }
}

test.each<[string, () => unknown]>([
  ['in its message', () => new Error(secret)],
  ['in a property', () => Object.assign(new Error('failed'), { deep: [{ deeper: secret }] })],
  ['in a property that is not enumerable', () => Object.defineProperty(new Error('failed'), 'held', { value: secret })],
  ['in the name of a property', () => Object.assign(new Error('failed'), { [secret]: 1 })],
  ['under a symbol', () => Object.assign(new Error('failed'), { [Symbol('held')]: new Map([[{}, secret]]) })],
  ['in its cause', () => new Error('failed', { cause: new Error('inner', { cause: secret }) })],
  ['in one of many errors', () => new AggregateError([new Error(secret)])],
  ['in what a getter of its class gives', () => new Holding('failed')],
  ['in its JSON', () => Object.assign(new Error('failed'), { toJSON: () => secret })],
  ['in bytes', () => Object.assign(new Error('failed'), { held: new Uint8Array(bytes) })],
])('an error’s texts have a secret %s', (_, make) => {
  expect(searchFor('token').find(textsOf(make()))).toMatchObject([{ kind: 'token' }])
})

test('a secret is a leak, except where its kind is shown on purpose', () => {
  const found = new Found(searchFor('password hash'))
  found.look('server log', secret)
  expect([...found.shown]).toEqual(['password hash in server log'])
  expect([...found.leaks]).toEqual([])
  found.look('pg_stat_activity', secret)
  found.note('errors', secret)
  expect([...found.leaks]).toEqual([expect.stringContaining('password hash in pg_stat_activity')])
  found.searchNotes()
  expect(found.leaks.size).toBe(2)
})
