import { expect, test } from 'vitest'
import { FairQueue } from '../../src/database/fair-queue.js'

interface One {
  readonly owner: string
  readonly calls: number
  readonly number: number
}

function queueOf(owners: string): [FairQueue<One>, One[]] {
  const queue = new FairQueue<One>(2)
  const all = owners.split('').map((owner, number) => ({ owner, calls: 1, number }))
  for (const one of all) queue.add(one)
  return [queue, all]
}

const namesIn = (queue: FairQueue<One>): string => {
  let names = ''
  for (let next = queue.next(); next !== undefined; next = queue.next()) names += `${next.owner}${next.number} `
  return names.trim()
}

test('who came first is first, but of one owner only two stand in the line', () => {
  const [queue] = queueOf('aaaabbac')
  expect(queue.size).toBe(8)
  expect(namesIn(queue)).toBe('a0 a1 b4 b5 c7 a2 a3 a6')
  expect(queue.size).toBe(0)
})

test('who comes when one of the owner has left stands in the line again', () => {
  const [queue, [first]] = queueOf('abab')
  expect(queue.next()).toBe(first)
  queue.add({ owner: 'a', calls: 1, number: 9 })
  expect(namesIn(queue)).toBe('b1 a2 b3 a9')
})

test('who asks for several calls at once counts as many', () => {
  const queue = new FairQueue<One>(2)
  for (const number of [0, 1, 2]) queue.add({ owner: 'a', calls: 5, number })
  queue.add({ owner: 'b', calls: 1, number: 3 })
  expect(namesIn(queue)).toBe('a0 b3 a1 a2')
})

test('who leaves is not served, and leaves once', () => {
  const [queue, [first, , third, last]] = queueOf('aaaa')
  expect([first, third, third, last].map((one) => queue.delete(one as One))).toEqual([true, true, false, true])
  expect(queue.size).toBe(1)
  expect([...queue]).toEqual([{ owner: 'a', calls: 1, number: 1 }])
  expect(namesIn(queue)).toBe('a1')
})

test('all who wait are told, those behind the line too', () => {
  const [queue, all] = queueOf('aaab')
  expect(new Set(queue)).toEqual(new Set(all))
})
