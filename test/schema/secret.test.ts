import { Console } from 'node:console'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { format, inspect } from 'node:util'
import { serialize } from 'node:v8'
import { expect, test } from 'vitest'
import { Secret } from '../../src/schema/shared/secret.js'

const secret = new Secret('marker')
/** As code without types has it. */
const untyped = secret as unknown as string

test('reveals its text', () => {
  expect(secret.reveal()).toBe('marker')
})

test.each<[string, () => unknown]>([
  ['a template', () => `of ${untyped}`.slice(3)],
  ['String', () => [secret].join()],
  ['a sum of texts', () => ('of ' + untyped).slice(3)],
  ['JSON', () => JSON.parse(JSON.stringify(secret)) as unknown],
  ['inspect', () => inspect(secret)],
  ['%s', () => format('%s', secret)],
  ['%o', () => format('%o', secret)],
  ['%O', () => format('%O', secret)],
  ['%j', () => JSON.parse(format('%j', secret)) as unknown],
])('%s shows [secret]', (_, show) => {
  expect(show()).toBe('[secret]')
})

test('nothing else shows its text', async () => {
  const stream = new PassThrough()
  const log = new Console(stream)
  log.log(secret, { secret }, [secret])
  log.table([{ secret }])
  log.dir(secret, { showHidden: true, depth: null })
  stream.end()
  const shown = [
    await text(stream),
    inspect(secret, { showHidden: true, customInspect: false, depth: null, getters: true }),
    JSON.stringify({ secret, all: [secret] }),
    JSON.stringify(Object.entries(secret)),
    JSON.stringify(structuredClone(secret)),
    JSON.stringify(Object.assign({}, secret)),
    JSON.stringify(Object.getOwnPropertyDescriptors(secret)),
    Reflect.ownKeys(secret).join(),
    serialize(secret).toString('latin1'),
    encodeURIComponent(untyped),
    `${Number(secret)}`,
    new Error(untyped).stack ?? '',
  ]
  expect(shown.join('\n')).not.toContain('marker')
  expect(Object.keys(secret)).toEqual([])
})

test('cannot be changed, and is made of text only', () => {
  expect(Object.isFrozen(secret)).toBe(true)
  expect(() => new Secret(1 as unknown as string)).toThrow(TypeError)
})
