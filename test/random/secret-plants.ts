import { sql } from 'drizzle-orm'
import { newId } from '../../src/core/ids.js'
import type { Tenancy } from '../../src/tenancy.js'
import { printedOf, textsOf } from './secret-search.js'
import { Contacts, newSide } from './secret-world.js'
import type { WatchedServer } from './watched-server.js'

/** The places that are searched, in each of which a secret of its own is planted. */
export const places = [
  'errors',
  'console',
  'stdout and stderr',
  'warnings',
  'channels',
  'onQuery',
  'rows',
  'audit.list',
  'audit.export',
  'table platform.audit_logs',
  'table platform.system_audit_logs',
  'table platform.user_audit_logs',
  'table platform.idempotency_keys',
  'table vault.contacts',
  'pg_stat_activity',
  'pg_stat_statements',
  'server log',
] as const
export type Place = (typeof places)[number]

/** Puts a secret into each place, in the way in which a fault of the library would. */
export async function plant(
  secretOf: (place: Place) => string,
  { tenancy, server }: { readonly tenancy: Tenancy; readonly server: WatchedServer },
  note: (place: Place, text: string) => void,
): Promise<void> {
  const hidden = Object.defineProperty(new Error('inner'), Symbol('hidden'), { value: { deep: [secretOf('errors')] } })
  note('errors', textsOf(new Error('outer', { cause: hidden })))
  console.error(new Error(secretOf('console')))
  process.stderr.write(`${secretOf('stdout and stderr')}\n`)
  process.emitWarning(secretOf('warnings'))

  const side = await newSide(tenancy, server)
  const request = { id: newId(), ip: '192.0.2.7', userAgent: secretOf('table platform.user_audit_logs') }
  const org = tenancy.forOrg(side.id)
  for (const place of ['channels', 'onQuery'] as const) {
    await org.db.execute(sql.raw(`select 1 as "${secretOf(place)}"`))
  }
  note('rows', printedOf(await org.agents.create({ name: secretOf('rows'), username: newId() })))
  await org.repository(Contacts).create({ name: secretOf('table vault.contacts') })
  for (const place of ['audit.list', 'audit.export', 'table platform.audit_logs'] as const) {
    await org.audit.record({ eventType: 'planted', metadata: { deep: [secretOf(place)] } })
  }
  await tenancy.system({ actor: 'scan', reason: secretOf('table platform.system_audit_logs') }).users.find(side.ownerId)
  await tenancy.forUser(side.ownerId, { request }).sessions.start()
  await org.idempotent(secretOf('table platform.idempotency_keys'), {}, () => Promise.resolve(1))
  await readLog(tenancy, side.id, note)
  await server.admin.query('select $1::text', [secretOf('server log')])
  // The server replaces constants and forgets aliases in the texts of all statements but these.
  await server.admin.query(`listen "${secretOf('pg_stat_statements')}"`)
  // The last statement of its backend.
  await server.admin.query(`select '${secretOf('pg_stat_activity')}'`)
}

/** All entries of an organization, in both ways. */
export async function readLog(
  tenancy: Tenancy,
  orgId: string,
  note: (place: Place, text: string) => void,
): Promise<void> {
  const org = tenancy.forOrg(orgId)
  for await (const entry of org.audit.stream({ limit: 500 })) note('audit.list', printedOf(entry))
  for await (const lines of await org.audit.export()) note('audit.export', Buffer.from(lines).toString())
}
