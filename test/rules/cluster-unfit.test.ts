import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { unfit } from '../support/cluster-unfit.js'

test('each test that is skipped on a cluster is there', () => {
  const missing = Object.entries(unfit).flatMap(([file, titles]) => {
    const source = readFileSync(file, 'utf8')
    return titles.filter(([title]) => !source.includes(`'${title}'`)).map(([title]) => `${file}: ${title}`)
  })
  expect(missing).toEqual([])
})
