import { Agents, auditTrail, DirectScope, newId, openNodePostgres, trusted } from './built.js'
import type { BenchDatabase } from './database.js'
import type { Variant } from './measure.js'
import { contextIn } from './scope-context.js'

const agentsEach = 2_000

/** Writes of an audited table with their entries in the audit log, and the same writes without. Over one connection. */
export async function openAudited({ orgId, database }: BenchDatabase) {
  const { admin } = database
  // Enough rows that the planner reads them by an index.
  await admin.query(
    `insert into platform.agents (org_id, id, name, username)
     select o.id, gen_random_uuid(), 'Ada', 'ada-' || n from platform.organizations o, generate_series(1, ${agentsEach}) n`,
  )
  await admin.query('vacuum analyze')
  const agents = await admin.query<{ id: string }>('select id from platform.agents where org_id = $1', [orgId])
  const id = (call: number): string => agents[(call * 7919) % agents.length]?.id ?? ''
  const executor = openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } })
  const context = contextIn(orgId)
  const plain = new Agents(new DirectScope({ ...context, rules: trusted }, executor))
  const audited = new Agents(new DirectScope({ ...context, rules: { ...trusted, audit: auditTrail } }, executor))
  const rename = (call: number) => ({ name: `Name ${String(call)}` })
  /** An index has this column: so Postgres adds the new version of the row to each index of the table. */
  const move = () => ({ username: newId() })
  const variant = (name: string, call: Variant['call']): Variant => ({ name, call })
  const create = () => plain.create({ name: 'Ada', username: newId() })
  const auditedCreate = () => audited.create({ name: 'Ada', username: newId() })
  return {
    rename: variant('update of a name', (call) => plain.update(id(call), rename(call))),
    auditedRename: variant('with its entry', (call) => audited.update(id(call), rename(call))),
    move: variant('update of a user name', (call) => plain.update(id(call), move())),
    auditedMove: variant('with its entry', (call) => audited.update(id(call), move())),
    create: variant('create', create),
    auditedCreate: variant('with its entry', auditedCreate),
    close: () => executor.close({ drain: 0 }),
  }
}
