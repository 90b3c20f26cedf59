import { describe, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { readRequestContext, shortUserAgent } from '../../src/core/request-context.js'
import { readScopeOptions } from '../../src/core/scopes/scope-options.js'

const read = (request: unknown) => readScopeOptions({ request }).request

describe('a request', () => {
  test('is read once, into an object of its own', () => {
    let reads = 0
    const given = {
      get id() {
        return `request ${++reads}`
      },
      ip: '2001:db8::1',
      userAgent: 'curl/8',
    }
    const request = read(given)
    given.ip = 'changed'
    expect(request).toEqual({ id: 'request 1', ip: '2001:db8::1', userAgent: 'curl/8' })
    expect(request?.id).toBe('request 1')
    expect(reads).toBe(1)
  })

  test('may be absent, and so may each of its fields', () => {
    expect(read(undefined)).toBeUndefined()
    expect(read({})).toEqual({ id: undefined, ip: undefined, userAgent: undefined })
    expect(read({ id: undefined, ip: '::ffff:192.0.2.7' })).toMatchObject({ ip: '::ffff:192.0.2.7' })
  })

  test.each([
    ['request', null],
    ['request', 'id'],
    ['request', ['id']],
    ['request', new Request('https://example.com')],
    ['request.useragent', { useragent: 'curl' }],
    ['request.id', { id: 7 }],
    ['request.id', { id: null }],
    ['request.id', { id: { toString: () => 'id' } }],
    ['request.id', { id: 'a\0b' }],
    ['request.id', { id: 'x'.repeat(256) }],
    ['request.ip', { ip: '' }],
    ['request.ip', { ip: 'localhost' }],
    ['request.ip', { ip: '192.0.2.7/24' }],
    ['request.ip', { ip: '192.0.2.7, 192.0.2.8' }],
    ['request.ip', { ip: 'fe80::1%eth0' }],
    ['request.ip', { ip: ['192.0.2.7'] }],
    ['request.userAgent', { userAgent: ['curl'] }],
    ['request.userAgent', { userAgent: 'curl\0' }],
    ['request.userAgent', { userAgent: 'half \uD83D' }],
  ])('is refused by the field %s', (field, given) => {
    expect(() => readRequestContext(given)).toThrow(InvalidInputError)
    expect(() => readRequestContext(given)).toThrow(`${field}: `)
  })

  test('with a getter that throws is refused', () => {
    const given = Object.defineProperty({}, 'ip', { enumerable: true, get: () => JSON.parse('{') as unknown })
    expect(() => readRequestContext(given)).toThrow(new InvalidInputError('request', 'cannot be read'))
  })

  test('keeps an id of 255 characters, and of a long user agent 1,000, without half of a pair', () => {
    const id = 'x'.repeat(255)
    expect(read({ id, userAgent: 'y'.repeat(5000) })).toMatchObject({ id, userAgent: 'y'.repeat(1000) })
    const cut = shortUserAgent(`${'y'.repeat(999)}😀 and more`)
    expect(cut).toBe('y'.repeat(999))
    expect(shortUserAgent(`${'y'.repeat(998)}😀 and more`)).toBe(`${'y'.repeat(998)}😀`)
  })
})
