import { setUpAuth } from './set-up-auth.js'

const { DATABASE_ADMIN_URL, AUTH_DATABASE_URL } = process.env
if (DATABASE_ADMIN_URL === undefined || AUTH_DATABASE_URL === undefined) {
  throw new Error('set DATABASE_ADMIN_URL, the owner of the database, and AUTH_DATABASE_URL, the login to create')
}
await setUpAuth(DATABASE_ADMIN_URL, AUTH_DATABASE_URL)
