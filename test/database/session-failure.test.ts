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
