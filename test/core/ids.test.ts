import { afterEach, beforeEach, expect, test, vi } from 'vitest'

let newId: () => string

// Ids never go back in time: those of one test must not push the clock of another.
beforeEach(async () => {
  vi.resetModules()
  ;({ newId } = await import('../../src/core/ids.js'))
})

const ids = (count: number) => Array.from({ length: count }, () => newId())

/** What of an id is neither time nor order. */
const chance = (id: string) => id.slice(-12)

afterEach(() => {
  vi.useRealTimers()
})

test('ids are UUIDv7 of the time they were made at', () => {
  vi.useFakeTimers({ now: new Date('2100-01-02T03:04:05.678Z') })
  const [id = ''] = ids(1)
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(new Date(parseInt(id.replace('-', '').slice(0, 12), 16)).toISOString()).toBe('2100-01-02T03:04:05.678Z')
})

test('ids come in the order of their making, though many are made in a millisecond and the clock is set back', () => {
  vi.useFakeTimers({ now: new Date('2101-01-01') })
  const made = ids(2000)
  vi.setSystemTime(new Date('2100-12-31'))
  made.push(...ids(2000))
  vi.setSystemTime(new Date('2101-01-02'))
  made.push(...ids(2000))
  expect(made).toEqual([...made].sort())
  expect(new Set(made).size).toBe(6000)
})

test('no two ids share their random part, and those of two milliseconds do not begin to count alike', () => {
  const made = ids(5000)
  expect(new Set(made.map(chance)).size).toBe(5000)

  vi.useFakeTimers({ now: new Date('2102-01-01') })
  const starts = Array.from({ length: 20 }, (_, day) => {
    vi.setSystemTime(new Date(2103, 0, day + 1))
    return newId().slice(14, 23)
  })
  expect(new Set(starts).size).toBe(20)
})
