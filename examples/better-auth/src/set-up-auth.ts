import { randomBytes } from 'node:crypto'
import { getMigrations } from 'better-auth/db/migration'
import pg from 'pg'
import { openAuth } from './auth.js'

/**
 * Creates better-auth's login and its schema `auth`, as the owner of the database, and its tables, as that login. The name and the
 * password of the login are those in `authUrl`. Run it again after an update of better-auth.
 */
export async function setUpAuth(ownerUrl: string, authUrl: string): Promise<void> {
  const { username, password } = new URL(authUrl)
  const login = pg.escapeIdentifier(decodeURIComponent(username))
  const owner = new pg.Client({ connectionString: ownerUrl })
  await owner.connect()
  try {
    const known = await owner.query('select from pg_roles where rolname = $1', [decodeURIComponent(username)])
    if (known.rowCount === 0) {
      await owner.query(`create role ${login} login password ${pg.escapeLiteral(decodeURIComponent(password))}`)
    }
    await owner.query('create schema if not exists auth')
    await owner.query(`grant usage, create on schema auth to ${login}`)
  } finally {
    await owner.end()
  }

  // No session is signed here.
  const secret = randomBytes(32).toString('base64')
  const { auth, close } = openAuth({ url: authUrl, secret, baseURL: 'http://localhost' })
  try {
    const { runMigrations } = await getMigrations(auth.options)
    await runMigrations()
  } finally {
    await close()
  }
}
