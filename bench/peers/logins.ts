import type { BenchDatabase } from '../database.js'

export interface Logins {
  /** Of the application, as tenantry uses it. */
  readonly app: string
  /** Bound by the same policies. */
  readonly peers: string
  /** Row security does not bind it: for a library that has walls of its own. */
  readonly owner: string
}

/** `bootstrap` takes from everybody the right to call set_config, which is how all the others bind an organization. */
export async function openLogins({ database: { admin, appUrl, adminUrl } }: BenchDatabase): Promise<Logins> {
  const url = new URL(appUrl)
  // Named like the logins of this run, so that the next run drops it with them.
  const name = url.username.replace(/_app$/, '_peers')
  await admin.query(`create role ${name} login password '${url.password}' in role tenantry_app`)
  await admin.query(`grant execute on function pg_catalog.set_config(text, text, boolean) to ${name}`)
  url.username = name
  return { app: appUrl, peers: url.href, owner: adminUrl }
}
