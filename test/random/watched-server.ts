import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { pgSchema, primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { openSession, type Session } from '../../src/database/session.js'
import { declare, type OwnTables } from '../../src/declared.js'
import { seed } from '../../src/migrations/seed.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { ciphertext } from '../../src/schema/shared/ciphertext.js'
import { id, orgId, timestamps } from '../../src/schema/shared/columns.js'
import { tenantTable } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { startEmbeddedServer } from '../../src/testing/embedded-server.js'
import { writeFolder } from '../migrations/migrations-folder.js'

const vault = pgSchema('vault')

/** A host's table with a secret and with personal data. */
export const contacts = vault.table(
  'contacts',
  {
    orgId: orgId(),
    id: id(),
    name: text('name').notNull(),
    pin: ciphertext('pin'),
    phone: text('phone'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'contacts_pkey', columns: [t.orgId, t.id] }),
    unique('contacts_phone_key').on(t.orgId, t.phone),
    ...tenantTable('contacts', t),
  ],
)
declareTable(contacts, { kind: 'tenant', audited: true, personal: ['phone'], permission: 'contacts' })

const up = [
  'create schema vault',
  `create table vault.contacts (
    org_id uuid not null, id uuid not null, name text not null, pin bytea, phone text,
    created_at timestamptz not null default statement_timestamp(), updated_at timestamptz not null default statement_timestamp(),
    constraint contacts_pkey primary key (org_id, id),
    constraint contacts_phone_key unique (org_id, phone),
    constraint contacts_org_fkey foreign key (org_id) references platform.organizations (id) on delete cascade,
    constraint contacts_name_check check (name <> 'refused')
  )`,
  'alter table vault.contacts enable row level security',
  `create policy org_isolation on vault.contacts to tenantry_app using (org_id = platform.current_org()) with check (org_id = platform.current_org())`,
  'create policy system_access on vault.contacts to tenantry_system using (true) with check (true)',
]

/** A server of the run's own that logs every statement with its parameters. */
export interface WatchedServer {
  readonly appUrl: string
  readonly systemUrl: string
  readonly passwords: readonly string[]
  readonly own: OwnTables
  /** The owner of the database. */
  readonly admin: Session
  /** Connects as the owner. */
  connect(): Promise<Session>
  /** The log since the last call, with everything that was sent before this one. */
  log(): Promise<string>
  /** The texts of `pg_stat_statements`. */
  statements(): Promise<string[]>
  stop(): Promise<void>
}

const settings = [
  'shared_preload_libraries=pg_stat_statements',
  'pg_stat_statements.max=20000',
  'pg_stat_statements.track=all',
  'track_activity_query_size=32768',
  'log_lock_waits=on',
  'deadlock_timeout=20ms',
]

export async function startWatchedServer(): Promise<WatchedServer> {
  const log = new ServerLog()
  const server = await startEmbeddedServer({
    settings,
    onLog: (text) => {
      log.write(text)
    },
  })
  const admin = await openSession({ url: server.url })
  const folder = await writeFolder([
    { tag: '0000_vault', up, down: ['drop table vault.contacts', 'drop schema vault'] },
  ])
  const own: OwnTables = {
    schema: { contacts },
    migrations: folder,
    permissions: { 'contacts:read': 'See contacts', 'contacts:write': 'Change contacts' },
  }
  await upgrade(admin, await declare(own), { exclusiveDatabase: true })
  await seed(admin)
  const passwords = ['app', 'system'].map(() => randomBytes(16).toString('hex'))
  const urls = await Promise.all(
    ['app', 'system'].map(async (kind, index) => {
      const [login, password = ''] = [`watched_${kind}`, passwords[index]]
      await admin.query(`create role ${login} login in role tenantry_${kind} password '${password}'`)
      return Object.assign(new URL(server.url), { username: login, password }).href
    }),
  )
  // Outside of the database that is served, in which an extension would be a fault.
  await admin.query('create database watching')
  const watching = await openSession({ url: Object.assign(new URL(server.url), { pathname: '/watching' }).href })
  await watching.query('create extension pg_stat_statements')
  // From here on, so that the passwords of the logins are in neither.
  for (const setting of [`log_statement = 'all'`, 'log_min_duration_statement = 0', `log_line_prefix = '%p '`])
    await admin.query(`alter system set ${setting}`)
  await admin.query('select pg_reload_conf()')
  await watching.query('select pg_stat_statements_reset()')
  return {
    appUrl: urls[0] as string,
    systemUrl: urls[1] as string,
    passwords,
    own,
    admin,
    connect: () => openSession({ url: server.url }),
    log: () => log.take(admin),
    async statements() {
      const rows = await watching.query<{ query: string }>('select distinct query from pg_stat_statements')
      return rows.map(({ query }) => query)
    },
    async stop() {
      await watching.close()
      await admin.close()
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Collects the log, whose pieces end anywhere. */
class ServerLog {
  private text = ''
  private wake: () => void = () => undefined

  write(text: string): void {
    this.text += text
    this.wake()
  }

  /** Waits for a statement of its own, before which the log has everything else. */
  async take(admin: Session): Promise<string> {
    const fence = `fence_${randomBytes(6).toString('hex')}`
    await admin.query(`select 1 as ${fence}`)
    while (!this.text.includes(fence)) await new Promise<void>((resolve) => (this.wake = resolve))
    const end = this.text.lastIndexOf('\n') + 1
    const taken = this.text.slice(0, end)
    this.text = this.text.slice(end)
    return taken
  }
}
