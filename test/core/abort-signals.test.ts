import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { unlessAborted } from '../../src/core/abort.js'
import { TimeoutError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()

const warnings: Error[] = []
const listen = (warning: Error) => warnings.push(warning)
beforeEach(() => {
  warnings.length = 0
  process.on('warning', listen)
})
afterEach(() => {
  process.off('warning', listen)
})

/** Some have a connection at once, and the others wait for one. */
const calls = (org: Org) => Array.from({ length: 40 }, () => org.agents.count())

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('many calls at once with one signal warn of nothing, and leave no listener', async () => {
  const { signal } = new AbortController()
  const org = await bench.newOrg({ signal })
  const counts = Promise.all(calls(org))
  await turn()
  expect(listeners(signal)).toBe(1)
  expect(await counts).toEqual(Array.from({ length: 40 }, () => 0))
  expect(listeners(signal)).toBe(0)
  await turn()
  expect(warnings).toEqual([])
})

test('many transactions at once with one signal warn of nothing, and leave no listener', async () => {
  const { signal } = new AbortController()
  const org = await bench.newOrg({ signal })
  await Promise.all(
    Array.from({ length: 20 }, () =>
      org.transaction((tx) => Promise.all([tx.agents.count(), tx.transaction((nested) => nested.agents.count())])),
    ),
  )
  expect(listeners(signal)).toBe(0)
  await turn()
  expect(warnings).toEqual([])
})

test('an aborted signal reaches each of its calls, and no other', async () => {
  const controller = new AbortController()
  const org = await bench.newOrg({ signal: controller.signal })
  const others = calls(bench.tenancy.forOrg(org.id, { signal: new AbortController().signal }))
  const stopped = Promise.allSettled(
    Array.from({ length: 20 }, () => org.db.execute('select pg_sleep(60)').catch((error: unknown) => error)),
  )
  await turn()
  controller.abort()
  for (const outcome of await stopped) expect(outcome).toMatchObject({ value: expect.any(TimeoutError) as unknown })
  expect(await Promise.all(others)).toEqual(others.map(() => 0))
  expect(listeners(controller.signal)).toBe(0)
  await expect(org.agents.count()).rejects.toThrow(TimeoutError)
  await turn()
  expect(warnings).toEqual([])
})

test('the failure of a work that nobody waits for any more is no unhandled rejection', async () => {
  const work = Promise.reject(new Error('the connection broke'))
  await expect(unlessAborted(work, AbortSignal.abort())).rejects.toThrow('the call was aborted')
})
