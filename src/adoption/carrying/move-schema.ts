import { MigrationError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { type LockRetries, retriedTransaction } from '../../migrations/lock-retries.js'
import { closeHome, inHome } from '../home.js'
import { literal } from '../sql.js'
import { carryingHome, homeStatements, isSchema, recordStep, schemaBefore } from './carrying-home.js'

const ours = 'platform'

/** Functions of every schema of which the text names the schema. The server follows a renamed schema everywhere else. */
const findFunctions = `
select pg_catalog.pg_get_functiondef(p.oid) as definition, p.oid::pg_catalog.regprocedure::text as name from pg_catalog.pg_proc p
where p.prokind in ('f', 'p') and p.prosqlbody is null and p.prosrc operator(pg_catalog.~) ${literal(`(\\m|")${ours}"?\\s*\\.`)}
  and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')
order by p.oid`

const named = /(?<![\w".])(?:"platform"|platform)(?=\s*\.)/g

/** The functions that the move makes again. */
export async function findFunctionNames(session: Pick<Session, 'query'>): Promise<string[]> {
  return (await session.query<{ name: string }>(findFunctions)).map(({ name }) => name)
}

/** The statements that move the schema aside. The functions of which the text names it are made again with its new name. */
export async function moveStatements(session: Pick<Session, 'query'>): Promise<string[]> {
  const home = carryingHome(schemaBefore)
  const functions = await session.query<{ definition: string }>(findFunctions)
  return [
    ...homeStatements(home),
    closeHome(home),
    ...functions.map(
      ({ definition }, place) => `insert into ${inHome(home, 'functions')} values (${place}, ${literal(definition)})`,
    ),
    `alter schema ${quoted(ours)} rename to ${quoted(schemaBefore)}`,
    ...functions.map(({ definition }) => definition.trimEnd().replaceAll(named, quoted(schemaBefore))),
  ]
}

/** Moves the tables of an earlier platform into another schema, which takes a moment: not a row is touched. */
export async function moveSchema(direct: Session, retries: LockRetries): Promise<void> {
  const session = withContext(direct, 'the move of the schema')
  await retriedTransaction(session, retries, async () => {
    for (const statement of await moveStatements(session)) await session.query(statement)
    await recordStep(session, carryingHome(schemaBefore), 'move')
  })
}

/** Gives the schema its name back, once the tables of tenantry are gone. */
export async function moveBack(direct: Session, retries: LockRetries): Promise<void> {
  const session = withContext(direct, 'the way back of the move')
  const home = carryingHome(schemaBefore)
  await retriedTransaction(session, retries, async () => {
    if (await isSchema(session, ours))
      throw new MigrationError(
        `the tables of tenantry are in the schema ${ours}: run tenantry migrate down --all first, and then this again`,
      )
    await session.query(`alter schema ${quoted(schemaBefore)} rename to ${quoted(ours)}`)
    const functions = await session.query<{ before: string }>(
      `select before from ${inHome(home, 'functions')} order by place`,
    )
    for (const { before } of functions) await session.query(before)
    await session.query(`drop schema ${quoted(home)} cascade`)
  })
}
