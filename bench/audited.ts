import { Agents, auditTrail, DirectScope, newId, openNodePostgres, trusted } from './built.js'
import type { BenchDatabase } from './database.js'
import type { Variant } from './measure.js'
import { contextIn } from './scope-context.js'

/** Writes of an audited table with their entries in the audit log, and the same writes without. Over one connection. */
export async function openAudited({ orgId, database }: BenchDatabase) {
  const executor = openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } })
  const context = contextIn(orgId)
  const plain = new Agents(new DirectScope({ ...context, rules: trusted }, executor))
  const audited = new Agents(new DirectScope({ ...context, rules: { ...trusted, audit: auditTrail } }, executor))
  const ids: string[] = []
  for (let place = 0; place < 200; place++) ids.push((await plain.create(newAgent())).id)
  await database.admin.query('vacuum analyze')
  const update = (name: string, agents: typeof plain): Variant => ({
    name,
    call: (call) => agents.update(ids[call % ids.length] ?? '', { name: `Name ${String(call)}` }),
  })
  const create = (name: string, agents: typeof plain): Variant => ({ name, call: () => agents.create(newAgent()) })
  return {
    update: update('update', plain),
    auditedUpdate: update('update with its entry', audited),
    create: create('create', plain),
    auditedCreate: create('create with its entry', audited),
    close: () => executor.close({ drain: 0 }),
  }
}

const newAgent = () => ({ name: 'Ada', username: newId() })
