import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import pg from 'pg'
import { ConflictError, InvalidInputError, MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import type { RuntimeRole } from './manifest.js'
import { type CarriedOut, carryOut, statements } from './carry-out.js'
import { failed } from '../database/session-failure.js'

/** A login of the application. `remaining` is SQL that this session may not run; a role with CREATEROLE can. */
export interface Login extends CarriedOut {
  readonly name: string
  readonly role: RuntimeRole
  /** Only a password that was generated just now. It is stored nowhere: the server has a hash. */
  readonly password: string | undefined
}

export interface LoginOptions {
  /** A member of tenantry_system instead of tenantry_app. */
  readonly system?: boolean
  /** Default: a new login gets a random password, and an existing one keeps its own. */
  readonly password?: string
}

/**
 * Creates a login that is a member of one role and nothing else, or grants an existing one what it lacks. Throws a ConflictError
 * when the role of that name can do more.
 */
export async function createLogin(session: Session, name: string, options: LoginOptions = {}): Promise<Login> {
  const role = options.system === true ? 'tenantry_system' : 'tenantry_app'
  checkName(name)
  if (options.password !== undefined) checkPassword(options.password)
  const exists = await examine(session, name, role)

  const password = options.password ?? randomBytes(24).toString('base64url')
  const verifier = scramVerifier(password)
  const made = await carryOut(session, `login ${name}`, () =>
    statements(session, loginStatements, [name, role, verifier]),
  )
  const isNew = [...made.done, ...made.remaining].some((statement) => statement.includes(verifier))
  const changed = exists && options.password !== undefined ? await changePassword(session, name, verifier) : nothing
  return {
    name,
    role,
    password: isNew && options.password === undefined ? password : undefined,
    done: [...made.done, ...changed.done].map((statement) => statement.replace(verifier, '...')),
    remaining: [...made.remaining, ...changed.remaining],
  }
}

const nothing: CarriedOut = { done: [], remaining: [] }

function checkName(name: string): void {
  if (/^(?!pg_)[A-Za-z_][\w$.@-]{0,62}$/.test(name) && !reserved.has(name)) return
  throw new InvalidInputError(
    'name',
    'must be up to 63 letters, digits, _ $ . @ - and not a name that Postgres or tenantry uses',
  )
}

const reserved = new Set(['public', 'none', 'tenantry_app', 'tenantry_system'])

/** Other characters are normalized before they are hashed, and drivers do that differently. */
function checkPassword(password: string): void {
  if (!/^[\x20-\x7e]+$/.test(password)) throw new InvalidInputError('password', 'must be printable ASCII')
}

/** Whether the login exists. Throws when it has rights that the application's logins must not have. */
async function examine(session: Session, name: string, role: RuntimeRole): Promise<boolean> {
  const [found] = await session.query<{ hasRole: boolean; isLogin: boolean; more: string[] | null }>(excess, [
    name,
    role,
  ])
  if (found?.hasRole !== true)
    throw new MigrationError(`the role ${role} is missing: run npx tenantry migrate up first`)
  if (found.more !== null && found.more.length > 0) {
    throw new ConflictError(
      'login',
      ['name'],
      `the role ${name} is more than a login: it ${found.more.join(', and ')}. Choose another name`,
    )
  }
  return found.isLogin
}

/** The rights of a login beyond those of its role. */
const excess = `
select role.oid is not null as "hasRole", login.oid is not null as "isLogin",
  pg_catalog.array_remove(array[
    case when login.rolsuper then 'is a superuser' end,
    case when login.rolbypassrls then 'bypasses row security' end,
    case when login.rolcreaterole then 'may create roles' end,
    case when login.rolcreatedb then 'may create databases' end,
    case when login.rolreplication then 'may replicate' end
  ], null)
  || array(
    select pg_catalog.format('is a member of %s', m.roleid::pg_catalog.regrole)
    from pg_catalog.pg_auth_members m where m.member = login.oid and m.roleid <> role.oid order by 1)
  || array(
    select pg_catalog.format('owns %s', pg_catalog.pg_describe_object(d.classid, d.objid, 0))
    from pg_catalog.pg_shdepend d
    where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass and d.refobjid = login.oid and d.deptype = 'o'
      and d.dbid in (0, (select here.oid from pg_catalog.pg_database here where here.datname = pg_catalog.current_database()))
    order by 1 limit 1) as more
from (values ($1::text, $2::text)) named(login, role)
left join pg_catalog.pg_roles login on login.rolname = named.login
left join pg_catalog.pg_roles role on role.rolname = named.role`

const loginStatements = `
with role as (select r.oid from pg_catalog.pg_roles r where r.rolname = $2::text),
login as (select r.oid, r.rolcanlogin, r.rolinherit from pg_catalog.pg_roles r where r.rolname = $1::text)
select pg_catalog.format('create role %I login password %L', $1::text, $3::text) as statement where not exists (select from login)
union all
select pg_catalog.format('alter role %I login inherit', $1::text) from login where not (login.rolcanlogin and login.rolinherit)
union all
-- Since Postgres 16 each membership says for itself whether its rights are inherited.
select pg_catalog.format('grant %I to %I%s', $2::text, $1::text, case when server.version >= 160000 then ' with inherit true' end)
from (select pg_catalog.current_setting('server_version_num')::int as version) server
where not exists (
  select from login join pg_catalog.pg_auth_members m on m.member = login.oid join role on role.oid = m.roleid
  where pg_catalog.pg_has_role(login.oid, role.oid, 'usage') or server.version < 160000)
union all
select pg_catalog.format('revoke admin option for %I from %I', $2::text, $1::text)
from login join pg_catalog.pg_auth_members m on m.member = login.oid join role on role.oid = m.roleid where m.admin_option`

/** Not a part of the plan: the server does not show passwords, so a plan cannot see whether one has to change. */
async function changePassword(session: Session, name: string, verifier: string): Promise<CarriedOut> {
  const statement = `alter role ${pg.escapeIdentifier(name)} password ${pg.escapeLiteral(verifier)}`
  try {
    await session.query(statement)
    return { done: [statement], remaining: [] }
  } catch (error) {
    if ((error as { code?: unknown }).code !== '42501') throw failed(`login ${name}`, error)
    return { done: [], remaining: [statement] }
  }
}

/** Hashed here, so that the password appears in no log of the server, whatever its password_encryption is. */
function scramVerifier(password: string): string {
  const salt = randomBytes(16)
  const iterations = 4096
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${hmac('Server Key').toString('base64')}`
}
