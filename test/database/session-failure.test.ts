import { expect, test } from 'vitest'
import { failed } from '../../src/database/session-failure.js'

test.each([
  ['permission denied for table agents', true],
  ['must be owner of table agents', true],
  // Refused to many owners too.
  ['permission denied to create extension "postgis"', false],
])('%s names the url of the owner: %s', (message, named) => {
  const error = failed('a.sql', Object.assign(new Error(message), { code: '42501' }))
  expect(error.message).toContain(`a.sql: ${message} (42501)`)
  expect(error.message.includes('DATABASE_ADMIN_URL')).toBe(named)
})

test('a node that does not answer to a move says what to do', () => {
  const message = 'Could not fetch disk stats for node: 10.0.0.3-5432'
  expect(failed('the shards of acme', Object.assign(new Error(message), { code: 'XX000' })).message).toBe(
    `the shards of acme: ${message} (XX000). A node of the cluster does not answer. Nothing was changed: run it again when the node is back`,
  )
})
