import { expect, test } from 'vitest'
import { TimeoutError, UnavailableError } from '../../src/core/errors.js'
import { Batches } from '../../src/operations/batches.js'

/** Runs `times` batches of at most 1,000, of which those of more than `fits` fail. Returns the sizes that were tried. */
async function tried(batches: Batches, times: number, fits: number): Promise<number[]> {
  const sizes: number[] = []
  for (let batch = 0; batch < times; batch++) {
    await batches.run(1000, (size) => {
      sizes.push(size)
      return size > fits ? Promise.reject(new TimeoutError()) : Promise.resolve(size)
    })
  }
  return sizes
}

test('a batch that fails is tried smaller, and the next ones stay below it until ten were good', async () => {
  const sizes = await tried(new Batches(), 12, 99)
  expect(sizes).toEqual([1000, 100, 10, 20, 40, 80, 99, 99, 99, 99, 99, 99, 198, 20, 40])
})

test('what fails alone, and for another reason than its size, is thrown', async () => {
  await expect(tried(new Batches(), 1, 0)).rejects.toThrow(TimeoutError)
  const away = new UnavailableError('away')
  await expect(new Batches().run(1000, () => Promise.reject(away))).rejects.toBe(away)
})
