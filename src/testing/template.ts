import { randomBytes } from 'node:crypto'
import { MigrationError } from '../core/errors.js'
import { openSession, type Session } from '../database/session.js'
import { type Nodes, openNodes } from './nodes.js'

/** The data for making a test database. It is plain, so that it can be passed to another process. */
export interface TestTemplate {
  readonly serverUrl: string
  /** What the names of this run's databases and logins begin with: `tenantry_test_` and twelve hexadecimal digits. */
  readonly prefix: string
  readonly password: string
}

/** The database of one test file: a copy of the template. */
export interface TestDatabase {
  /** The url of the application's login, a member of tenantry_app: tests connect with it. */
  readonly appUrl: string
  /** The url of the login that is a member of tenantry_system. */
  readonly systemUrl: string
  /** The url of the owner of the database. On most test servers it is a superuser, to whom row security does not apply. */
  readonly adminUrl: string
  /** A session of the owner, for raw SQL around a test. Connects when it is first used. */
  readonly admin: Session
  /** Closes `admin`. The database stays for inspection until the next run. */
  close(): Promise<void>
}

/**
 * Creates the template, migrated once, and two logins. Two runs on one server share nothing but the roles that `migrate` creates,
 * and those they create one after the other.
 */
export async function prepareTemplate(
  serverUrl: string,
  migrate: (adminUrl: string) => Promise<void>,
): Promise<{ template: TestTemplate; end: () => Promise<void> }> {
  const prefix = `tenantry_test_${randomBytes(6).toString('hex')}`
  const template = { serverUrl, prefix, password: randomBytes(16).toString('hex') }
  const nodes = await openNodes(serverUrl)
  const session = nodes.first
  try {
    // Held until this session ends, however it ends: other runs see by it that this one is alive.
    await session.query('select pg_advisory_lock(hashtextextended($1, 0))', [prefix])
    await session.query("select pg_advisory_lock(hashtextextended('tenantry_test', 0))")
    await dropLeftovers(nodes)
    await makeTemplate(nodes, template, migrate)
    await makeLogins(session, template)
    await session.query("select pg_advisory_unlock(hashtextextended('tenantry_test', 0))")
  } catch (error) {
    await nodes.close()
    throw error
  }
  return { template, end: () => nodes.close() }
}

export async function createTestDatabase(template: TestTemplate): Promise<TestDatabase> {
  const { serverUrl, prefix, password } = template
  const name = `${prefix}_${randomBytes(4).toString('hex')}`
  const nodes = await openNodes(serverUrl)
  try {
    await nodes.onEach(`create database ${name} template ${prefix}_template`)
    await copyRights(nodes.first, `${prefix}_template`, name)
    await copySettings(nodes.first, `${prefix}_template`, name)
  } finally {
    await nodes.close()
  }
  const adminUrl = urlOf(serverUrl, name)
  const admin = lazySession(adminUrl)
  return {
    appUrl: urlOf(serverUrl, name, { login: `${prefix}_app`, password }),
    systemUrl: urlOf(serverUrl, name, { login: `${prefix}_system`, password }),
    adminUrl,
    admin,
    close: () => admin.close(),
  }
}

/** Drops what ended runs have left: the databases first, because a login with rights in one cannot be dropped. */
async function dropLeftovers(nodes: Nodes): Promise<void> {
  // The catalogs are read as of the start of the statement, the locks after it, and a run takes its lock before it creates
  // anything. So a run that is found here without its lock has ended.
  const leftovers = await nodes.first.query<{ name: string; kind: 'database' | 'role' }>(`
    select name, kind
    from (
      select datname::text as name, 'database' as kind from pg_database
      union all
      select rolname::text, 'role' from pg_roles
    ) as named
    where name ~ '^tenantry_test_[0-9a-f]{12}_[a-z0-9]+$'
      and not exists (
        select from pg_locks
        where locktype = 'advisory' and objsubid = 1
          and (classid::bigint << 32 | objid::bigint) = hashtextextended(left(name, 26), 0)
      )
    order by kind`)
  for (const { name, kind } of leftovers) {
    if (kind === 'database') await nodes.onEach(`drop database if exists ${name} with (force)`)
    else await nodes.first.query(`drop role if exists ${name}`)
  }
}

async function makeTemplate(
  nodes: Nodes,
  { serverUrl, prefix }: TestTemplate,
  migrate: (adminUrl: string) => Promise<void>,
): Promise<void> {
  const name = `${prefix}_template`
  // From template0, because template1 may contain other objects.
  await nodes.onEach(`create database ${name} template template0 encoding 'UTF8'`)
  await nodes.join(urlOf(serverUrl, name))
  await migrate(urlOf(serverUrl, name))
  // A database cannot be copied while it has connections, that of a cluster's own process included.
  await nodes.onEach(`alter database ${name} allow_connections false`)
  await nodes.onEach('select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1', [name])
}

async function makeLogins(session: Session, { prefix, password }: TestTemplate): Promise<void> {
  const [roles] = await session.query<{ found: number }>(
    "select count(*)::int as found from pg_catalog.pg_roles where rolname in ('tenantry_app', 'tenantry_system')",
  )
  if (roles?.found !== 2) {
    throw new MigrationError('`migrate` made no roles: it must run `tenantry migrate up` with the url that it is given')
  }
  for (const kind of ['app', 'system']) {
    await session.query(`create role ${prefix}_${kind} login password '${password}'`)
    await session.query(`grant tenantry_${kind} to ${prefix}_${kind}`)
  }
}

/** The rights on a database, such as the right of PUBLIC to create temporary tables, are not copied with it. */
async function copyRights(session: Session, from: string, to: string): Promise<void> {
  const grants = await session.query<{ statement: string }>(
    `select format('grant %s on database %I to %s', string_agg(privilege_type, ', '), $2::text,
       case grantee when 0 then 'public' else grantee::regrole::text end) as statement
     from pg_database, aclexplode(datacl)
     where datname = $1
     group by grantee`,
    [from, to],
  )
  if (grants.length === 0) return
  await session.query(`revoke all on database ${to} from public`)
  for (const { statement } of grants) await session.query(statement)
}

/** Nor are its settings: those that `tenantry distribute` makes for a cluster. */
async function copySettings(session: Session, from: string, to: string): Promise<void> {
  const settings = await session.query<{ statement: string }>(
    `select format('alter database %I set %s = %L', $2::text, split_part(setting, '=', 1), split_part(setting, '=', 2)) as statement
     from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) setting
     where d.datname = $1 and s.setrole = 0 and setting like 'citus.%'`,
    [from, to],
  )
  for (const { statement } of settings) await session.query(statement)
}

function urlOf(serverUrl: string, database: string, as?: { login: string; password: string }): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  if (as !== undefined) {
    url.username = as.login
    url.password = as.password
  }
  return url.href
}

function lazySession(url: string): Session {
  let opened: Promise<Session> | undefined
  return {
    engine: 'postgres',
    async query<Row>(text: string, params?: readonly unknown[]) {
      opened ??= openSession({ url })
      return (await opened).query<Row>(text, params)
    },
    async close() {
      await (await opened)?.close()
    },
  }
}
