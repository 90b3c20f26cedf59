import { betterAuth } from 'better-auth'
import pg from 'pg'

/** better-auth signs people in. Its login may use the Postgres schema `auth` and nothing of tenantry's. */
export function openAuth(options: { url: string; secret: string; baseURL: string }) {
  const { url, secret, baseURL } = options
  const pool = new pg.Pool({ connectionString: url, options: '-c search_path=auth' })
  const auth = betterAuth({ database: pool, secret, baseURL, emailAndPassword: { enabled: true } })
  return { auth, close: () => pool.end() }
}

export type Auth = ReturnType<typeof openAuth>['auth']
