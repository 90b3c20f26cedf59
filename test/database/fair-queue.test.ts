import { expect, test } from 'vitest'
import { FairQueue } from '../../src/database/fair-queue.js'

interface One {
  readonly owner: string
  readonly number: number
}

function queueOf(owners: string): [FairQueue<One>, One[]] {
  const queue = new FairQueue<One>()
  const all = owners.split('').map((owner, number) => ({ owner, number }))
  for (const one of all) queue.add(one)
  return [queue, all]
}

const namesIn = (queue: FairQueue<One>): string => {
  let names = ''
  for (let next = queue.next(); next !== undefined; next = queue.next()) names += `${next.owner}${next.number} `
  return names.trim()
}

test('owners take turns, and each of them is served in the order in which it came', () => {
  const [queue] = queueOf('aaaabbc')
  expect(queue.size).toBe(7)
  expect(namesIn(queue)).toBe('a0 b4 c6 a1 b5 a2 a3')
  expect(queue.size).toBe(0)
})

test('whoever was served is behind one who comes later', () => {
  const [queue, [first]] = queueOf('aab')
  expect(queue.next()).toBe(first)
  queue.add({ owner: 'c', number: 9 })
  expect(namesIn(queue)).toBe('b2 a1 c9')
})

test('who leaves is not served, and leaves once', () => {
  const [queue, [first, , third]] = queueOf('aab')
  expect([first, third, third].map((one) => queue.delete(one as One))).toEqual([true, true, false])
  expect(queue.size).toBe(1)
  expect([...queue]).toEqual([{ owner: 'a', number: 1 }])
  expect(namesIn(queue)).toBe('a1')
})
