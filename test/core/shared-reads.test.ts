import { expect, test } from 'vitest'
import { SharedReads } from '../../src/core/shared-reads.js'

/** Reads that count, and answer when the test says so. */
function reads(options: { maxAge?: number; capacity?: number } = {}) {
  const begun: string[] = []
  const answers: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = []
  const clock = { now: 0 }
  const load = (id: string) => {
    begun.push(id)
    return new Promise<string>((resolve, reject) => answers.push({ resolve, reject }))
  }
  const shared = new SharedReads(load, { maxAge: 100, capacity: 10, clock: () => clock.now, ...options })
  return { shared, begun, answers, clock }
}

test('callers share a read that is under way, each owner its own', () => {
  const { shared, begun } = reads()
  for (const id of ['a', 'b', 'a', 'b', 'a']) void shared.get(id)
  expect(begun).toEqual(['a', 'b'])
})

test('the age of a read counts from its beginning, so a slow one is not joined when it is too old', async () => {
  const { shared, begun, answers, clock } = reads()
  const first = shared.get('a')
  clock.now = 100
  const second = shared.get('a')
  expect(begun).toEqual(['a', 'a'])
  answers[1]?.resolve('new')
  answers[0]?.resolve('old')
  expect(await Promise.all([first, second, shared.get('a')])).toEqual(['old', 'new', 'new'])
})

test('a read that was under way when its owner was forgotten answers its callers, and is not kept', async () => {
  const { shared, begun, answers } = reads()
  const early = shared.get('a')
  shared.forget('a')
  const late = shared.get('a')
  answers[0]?.resolve('before')
  answers[1]?.resolve('after')
  expect(await Promise.all([early, late, shared.get('a')])).toEqual(['before', 'after', 'after'])
  expect(begun).toHaveLength(2)
})

test('an old read that fails does not take a newer one away', async () => {
  const { shared, begun, answers } = reads()
  const failing = shared.get('a')
  shared.forget('a')
  const later = shared.get('a')
  answers[0]?.reject(new Error('lost'))
  answers[1]?.resolve('kept')
  await expect(failing).rejects.toThrow('lost')
  expect(await later).toBe('kept')
  void shared.get('a')
  expect(begun).toHaveLength(2)
})

test('the owner that was read longest ago is forgotten first', () => {
  const { shared, begun, clock } = reads({ capacity: 2 })
  for (const id of ['a', 'b']) void shared.get(id)
  clock.now = 100
  // Read again, so now b is the oldest.
  for (const id of ['a', 'c', 'a', 'c']) void shared.get(id)
  expect(begun).toEqual(['a', 'b', 'a', 'c'])
  void shared.get('b')
  expect(begun).toHaveLength(5)
})
