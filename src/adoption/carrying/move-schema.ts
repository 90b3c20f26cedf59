import { MigrationError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { retriedTransaction } from '../../migrations/lock-retries.js'
import { closeHome, inHome } from '../home.js'
import { literal } from '../sql.js'
import { carryingHome, homeStatements, isSchema, record, schemaBefore } from './carrying-home.js'
import { carryingRetries } from './carrying-transaction.js'

const ours = 'platform'

const inText = literal(`\\m${ours}\\M`)
const inPath = literal(`(^|[=,\\s"])${ours}($|[,\\s"])`)

/**
 * Functions of every schema that name the schema in their text or in their search path. The server follows a renamed schema everywhere else,
 * but for the search paths of roles and databases.
 */
const findFunctions = `
select pg_catalog.pg_get_functiondef(p.oid) as definition, p.oid::pg_catalog.regprocedure::text as name, p.oid::text as id,
  case when not pg_catalog.pg_has_role(p.proowner, 'usage') then pg_catalog.pg_get_userbyid(p.proowner)::text end as owner from pg_catalog.pg_proc p
where p.prokind in ('f', 'p') and ((p.prosqlbody is null and p.prosrc operator(pg_catalog.~*) ${inText})
    or exists (select from pg_catalog.unnest(p.proconfig) c where pg_catalog.starts_with(c, 'search_path=') and c operator(pg_catalog.~) ${inPath}))
  and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')
order by p.oid`

const findSettings = `
select coalesce('the role ' || r.rolname, 'the database ' || d.datname) as name
from pg_catalog.pg_db_role_setting s left join pg_catalog.pg_roles r on r.oid = s.setrole left join pg_catalog.pg_database d on d.oid = s.setdatabase
where (s.setdatabase = 0 or d.datname = pg_catalog.current_database())
  and exists (select from pg_catalog.unnest(s.setconfig) c where pg_catalog.starts_with(c, 'search_path=') and c operator(pg_catalog.~) ${inPath})`

/** What names the schema where the server does not follow its new name. */
export async function findNamingObjects(
  session: Pick<Session, 'query'>,
): Promise<{ functions: readonly NamingFunction[]; settings: readonly string[] }> {
  const functions = await session.query<Pick<NamingFunction, 'id' | 'name' | 'definition' | 'owner'>>(findFunctions)
  const settings = await session.query<{ name: string }>(findSettings)
  const names = await session.query<{ name: string }>(findNames)
  const known = new Set(names.map(({ name }) => name))
  return {
    functions: functions.map((one) => {
      const moved = renamed(one.definition, known)
      const isWhole = !/\bplatform\b/i.test(moved.replaceAll(schemaBefore, ''))
      return { ...one, moved, isClear: moved !== one.definition.trimEnd(), isWhole }
    }),
    settings: settings.map(({ name }) => name),
  }
}

export interface NamingFunction {
  readonly id: string
  readonly name: string
  readonly definition: string
  /** Whose it is, where this login may not replace it. */
  readonly owner: string | null
  /** With the new name of the schema. */
  readonly moved: string
  /** Whether its text names the schema in a form that is understood. */
  readonly isClear: boolean
  /** Whether nothing in it is left that could mean the schema. */
  readonly isWhole: boolean
}

/** What is in the schema: the word before a dot is the schema where one of these follows. */
const findNames = `
select c.relname as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = '${ours}'
union select p.proname from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname = '${ours}'
union select t.typname from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace where n.nspname = '${ours}'`

// Only the form without quotes may be written in other letters.
const named = /(?<![\w".])(?:"platform"|[pP][lL][aA][tT][fF][oO][rR][mM])(\s*\.\s*)("[^"]+"|\w+)/g
const searchPath = /^( SET search_path TO )(.*)$/m

const inPathAs = new Set([ours, `"${ours}"`, `'${ours}'`])

const renamed = (definition: string, known: ReadonlySet<string>): string =>
  definition
    .trimEnd()
    .replaceAll(named, (whole: string, dot: string, name: string) =>
      known.has(name.startsWith('"') ? name.slice(1, -1) : name.toLowerCase())
        ? `${quoted(schemaBefore)}${dot}${name}`
        : whole,
    )
    .replace(
      searchPath,
      (_, head: string, path: string) =>
        head + path.replaceAll(/"[^"]*"|'[^']*'|\w+/g, (name) => (inPathAs.has(name) ? schemaBefore : name)),
    )

/** Every name of a definition is printed with its schema, and no text of a function is checked while it is made again. */
const settings = ['set local search_path = pg_catalog, pg_temp', 'set local check_function_bodies = off']

const madeOf = `pg_catalog.md5(p.prosrc || coalesce(p.proconfig::text, ''))`

/** The statements that move the schema aside. */
async function moveStatements(session: Pick<Session, 'query'>): Promise<string[]> {
  const home = carryingHome(schemaBefore)
  const { functions } = await findNamingObjects(session)
  const changed = functions.filter(({ isClear }) => isClear)
  const strange = changed.filter(({ owner }) => owner !== null)
  if (strange.length > 0)
    throw new MigrationError(
      `functions that name the schema have to be made again, and belong to somebody else: ${strange.map(({ name, owner }) => `${name} of ${owner}`).join(', ')}. Connect as a member of these roles, or let them drop the functions`,
    )
  return [
    ...homeStatements(home),
    closeHome(home),
    `alter schema ${quoted(ours)} rename to ${quoted(schemaBefore)}`,
    ...changed.map(({ moved }) => moved),
    // With a hash of the new version: the way back restores a function only if nobody has changed it since.
    ...changed.map(
      ({ id, definition }, place) =>
        `insert into ${inHome(home, 'functions')} select ${place}, p.oid, ${literal(definition)}, ${madeOf} from pg_catalog.pg_proc p where p.oid = ${id}`,
    ),
  ]
}

/**
 * Moves the tables of an earlier platform into another schema, which takes a moment: not a row is touched. Returns the statements, of which
 * none is run where `isDry`.
 */
export async function moveSchema(direct: Session, isDry: boolean): Promise<string[]> {
  const session = withContext(direct, 'the move of the schema')
  return retriedTransaction(session, carryingRetries, async () => {
    for (const setting of settings) await session.query(setting)
    const statements = await moveStatements(session)
    if (isDry) return statements
    for (const statement of statements) await session.query(statement)
    await record(session, carryingHome(schemaBefore), 'move')
    return statements
  })
}

/** Gives the schema its name back, once the tables of tenantry are gone. */
export async function moveBack(direct: Session): Promise<void> {
  const session = withContext(direct, 'the way back of the move')
  const home = carryingHome(schemaBefore)
  await retriedTransaction(session, carryingRetries, async () => {
    if (await isSchema(session, ours))
      throw new MigrationError(
        `the tables of tenantry are in the schema ${ours}: run tenantry migrate down --all first, and then this again`,
      )
    for (const setting of settings) await session.query(setting)
    await session.query(`alter schema ${quoted(schemaBefore)} rename to ${quoted(ours)}`)
    const functions = await session.query<{ before: string }>(
      `select f.before from ${inHome(home, 'functions')} f join pg_catalog.pg_proc p on p.oid = f.procedure and ${madeOf} = f.made order by f.place`,
    )
    for (const { before } of functions) await session.query(before)
    await session.query(`drop schema ${quoted(home)} cascade`)
  })
}
