import { expect, test } from 'vitest'
import { statement } from '../../src/core/statement.js'
import type { Pipeline } from '../../src/database/pipeline.js'
import { ReadHistory } from '../../src/database/read-history.js'
import { A, B } from '../support/toy-schema.js'

const call = { statement: statement('select 1 as measured', 'read'), values: [] }
const took = (duration: number, other: object = {}): Pipeline =>
  ({ status: 'I', error: undefined, duration, ...other }) as unknown as Pipeline

function after(...times: readonly number[]): ReadHistory {
  const history = new ReadHistory(1)
  for (const time of times) history.note(A, [call], took(time))
  return history
}

test('what was never measured is not fast', () => {
  expect(after().areFast(A, [call])).toBe(false)
  const failed = after()
  failed.note(A, [call], took(0.1, { error: new Error('refused') }))
  failed.note(A, [call], took(0.1, { status: undefined }))
  expect(failed.areFast(A, [call])).toBe(false)
})

test('a read that once was fast stays so for some longer times, and not for many', () => {
  expect(after(5, 0.3, 5, 5).areFast(A, [call])).toBe(true)
  expect(after(0.01, 5, 5, 5, 5, 5, 5).areFast(A, [call])).toBe(false)
  expect(after(5, 5, 0.9).areFast(A, [call])).toBe(true)
  expect(after(5, 5).areFast(A, [call])).toBe(false)
})

test('an organization that was measured is known by its own times', () => {
  const history = after(0.2)
  expect(history.areFast(B, [call])).toBe(true)
  history.note(B, [call], took(7))
  expect([A, B].map((owner) => history.areFast(owner, [call]))).toEqual([true, false])
})

test('the time of several is shared by them', () => {
  const history = new ReadHistory(1)
  history.note(A, [call, call, call, call], took(3))
  expect(history.areFast(A, [call])).toBe(true)
})
