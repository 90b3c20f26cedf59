import { describe, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { readRequest, type ReadRequestOptions } from '../../src/http/read-request.js'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The same from the headers of the web and from those of Node. */
function read(headers: Record<string, string>, options?: ReadRequestOptions) {
  const [web, node] = [readRequest(new Headers(headers), options), readRequest(headers, options)]
  const alike = { ...web, request: { ...web.request, id: '' } }
  expect({ ...node, request: { ...node.request, id: '' } }).toEqual(alike)
  return web
}

describe('the token', () => {
  test.each([
    ['Bearer abc_1', 'abc_1'],
    ['bearer  abc_1 ', 'abc_1'],
    ['BEARER abc def', 'abc def'],
    ['Bearer', ''],
    ['Basic abc', undefined],
    ['Bearerabc', undefined],
    // A no-break space is no space of HTTP.
    ['Bearer\u00a0abc', undefined],
    ['Bearer abc\u00a0', 'abc\u00a0'],
  ])('of `%s` is %o', (authorization, token) => {
    expect(read({ authorization })).toMatchObject({ token, isFromCookie: false })
  })

  test.each([
    ['session=abc', 'abc'],
    ['a=1; session=abc ; b=2', 'abc'],
    ['session=a=b', 'a=b'],
    ['my-session=abc; sessions=x; session', undefined],
    ['session=', undefined],
    ['session=first; session=second', 'first'],
    ['\u00a0session=evil; session=good', 'good'],
    ['session=abc\t; b=2', 'abc'],
  ])('of the cookies `%s` is %o', (cookie, token) => {
    expect(read({ cookie }, { cookie: 'session' })).toMatchObject({ token, isFromCookie: token !== undefined })
    expect(read({ cookie }).token).toBeUndefined()
  })

  test('of the header comes before the cookie, also when it is empty', () => {
    for (const [authorization, token] of [
      ['Bearer abc', 'abc'],
      ['Bearer', ''],
    ] as const) {
      const found = read({ authorization, cookie: 'session=def' }, { cookie: 'session' })
      expect(found).toMatchObject({ token, isFromCookie: false })
    }
  })
})

test('inherited headers are not read', () => {
  const inherited = Object.create({ authorization: 'Bearer abc', cookie: 'session=abc' }) as Record<string, string>
  expect(readRequest(inherited, { cookie: 'session' }).token).toBeUndefined()
})

describe('the origin', () => {
  test('has the id of the header where it is well-formed, else a new one', () => {
    for (const id of ['abc', '01980a1e-7b5c-7c6e-8a0d-3f1f0c2b4a69', 'Root=1-67891233-abcdef', 'x'.repeat(255)]) {
      expect(read({ 'x-request-id': id }).request.id).toBe(id)
    }
    for (const id of ['', 'a b', 'a/b', '<script>', 'a,b', 'x'.repeat(256), 'é']) {
      expect(read({ 'x-request-id': id }).request.id).toMatch(uuid)
    }
    expect(read({}).request.id).not.toBe(read({}).request.id)
    expect(read({ 'x-request-id': 'theirs' }, { id: 'ours' }).request.id).toBe('ours')
    expect(read({ 'x-request-id': 'theirs' }, { id: 'not ours' }).request.id).toBe('theirs')
  })

  test('has the address that the host gives, if it is one', () => {
    const forwarded = { 'x-forwarded-for': '192.0.2.1', 'x-real-ip': '192.0.2.1', forwarded: 'for=192.0.2.1' }
    expect(read(forwarded).request.ip).toBeUndefined()
    for (const ip of ['192.0.2.7', '2001:db8::7', '::ffff:192.0.2.7']) expect(read({}, { ip }).request.ip).toBe(ip)
    for (const ip of ['', 'unknown', '192.0.2.7:443', 'fe80::1%eth0', '192.0.2.7, 192.0.2.8', 7 as never]) {
      expect(read({}, { ip }).request.ip).toBeUndefined()
    }
  })

  test('has the user agent, of at most 1000 characters', () => {
    expect(read({}).request.userAgent).toBeUndefined()
    expect(read({ 'user-agent': 'Firefox' }).request.userAgent).toBe('Firefox')
    expect(read({ 'user-agent': 'x'.repeat(5000) }).request.userAgent).toHaveLength(1000)
  })
})

test.each([
  [{ cookies: 'session' }],
  [{ cookie: 'a session' }],
  [{ cookie: '' }],
  [{ cookie: 'a=b' }],
  [{ cookie: 7 }],
])('the options %o are refused', (options) => {
  expect(() => readRequest({}, options as never)).toThrow(InvalidInputError)
})
