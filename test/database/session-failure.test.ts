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

test.each([
  ['XX000', 'Could not fetch disk stats for node: 10.0.0.3-5432'],
  ['08006', 'connection to the remote node app@10.0.0.3:5432 failed with the following error: Connection refused'],
])('a node that does not answer is named, and what to do: %s %s', (code, message) => {
  expect(failed('the shards of acme', Object.assign(new Error(message), { code })).message).toBe(
    `the shards of acme: ${message} (${code}). A node of the cluster does not answer. Nothing of the statement was changed: run it again when the node is back`,
  )
})
