import { hash } from 'node:crypto'
import { type Acting, authorOf } from '../core/author.js'
import { DefinitionError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Change, Rules } from '../core/rules.js'
import { SqlTokens } from '../core/sql-tokens.js'
import { foreignStatement, statement } from '../core/statement.js'
import type { Statement } from '../core/executor.js'
import { withEntry } from '../core/statements/audited.js'
import type { ChangeText } from '../core/statements/change-text.js'
import type { ChangeCall } from '../core/statements/inserts.js'
import type { ChangeStatement } from '../core/statements/statement-cache.js'
import { ownOf } from '../core/values.js'
import type { TablePlan } from '../core/statements/table-plan.js'
import type { auditActions } from '../schema/audit-logs.js'
import { factsOf } from '../schema/shared/kinds.js'
import { type AuditedFields, auditedFields, literal, longest } from './audit-changes.js'

/** An entry of more rows lists the ids of these many. */
const maxListed = 1000

/** The rule that writes an entry of `audit_logs` with each change of an audited table, in the same statement. */
export const auditTrail: Rules['audit'] = (change, call, acting) => {
  const audited = auditedStatement(change, call)
  return { statement: audited, values: [...call.values, ...entryValues(change, acting)] }
}

type AuditAction = (typeof auditActions)[number]

const actions: Readonly<Record<string, AuditAction>> = {
  create: 'create',
  add: 'create',
  duplicate: 'create',
  delete: 'delete',
  remove: 'delete',
  unlink: 'delete',
  purge: 'delete',
  restore: 'restore',
  addService: 'create',
  provision: 'create',
  'organization_invitations.create': 'invite',
  'organization_invitations.resend': 'invite',
}

const ofVerb = { insert: 'create', update: 'update', delete: 'delete', select: 'other', call: 'create' } as const

/** By the domain's word for the change, else by what the statement does. */
function actionOf(resource: string, event: string, verb: ChangeText['verb']): AuditAction {
  const name = [`${resource}.${event}`, event].find((one) => Object.hasOwn(actions, one))
  return name === undefined ? ofVerb[verb] : (actions[name] as AuditAction)
}

function entryValues(change: Change, acting: Acting): unknown[] {
  const { plan, event, filter, columns } = ownOf(change) as Change
  const author = authorOf(acting)
  const facts = {
    ...(author.reason === undefined ? {} : { impersonationReason: author.reason }),
    ...toldFilter(plan, filter),
    ...(columns === undefined ? {} : { columns }),
  }
  return [
    ...(plan.owner === undefined ? [] : [newId()]),
    author.actorKind,
    author.actorId ?? null,
    author.actorLabel ?? null,
    author.onBehalfOf ?? null,
    `${plan.resource}.${event}`,
    Object.keys(facts).length === 0 ? null : JSON.stringify(facts),
    author.ipAddress ?? null,
    author.userAgent ?? null,
    author.requestId ?? null,
  ]
}

/** The filter of a call, without the personal values in it. Nothing where the caller's object cannot be read a second time. */
function toldFilter(plan: TablePlan, filter: unknown): { readonly filter?: unknown } {
  if (filter === undefined) return {}
  try {
    const told = filterAsJson(plan, filter)
    const length = Buffer.byteLength(told)
    return { filter: length > longest ? { length, sha256: hash('sha256', told) } : (JSON.parse(told) as unknown) }
  } catch {
    return {}
  }
}

function filterAsJson({ table, byProperty }: TablePlan, filter: unknown): string {
  const personal = new Set(factsOf(table)?.personal)
  const isPersonal = (name: string) => personal.has(byProperty.get(name)?.sql.slice(1, -1) ?? '')
  return JSON.stringify(filter, (name, value: unknown) => {
    if (isPersonal(name)) return 'personal'
    return typeof value === 'bigint' ? String(value) : value
  })
}

interface Made {
  readonly event: string
  readonly isOne: boolean
  readonly statement: Statement
  readonly parameters: number
}

const made = new WeakMap<ChangeStatement, Made[]>()

/**
 * Throws DefinitionError for a call with another number of values than its text has parameters: the places of the entry's own parameters
 * would be wrong.
 */
function auditedStatement({ plan, event, isOne }: Change, { statement: changed, values }: ChangeCall): Statement {
  const known = made.get(changed) ?? []
  let found = known.find((one) => one.event === event && one.isOne === isOne)
  if (found === undefined) {
    const parameters = parametersOf(changed.text)
    const fields = auditedFields(plan, changed.change)
    const entry = {
      fields,
      change: changed.change,
      places: placesAfter(parameters, plan),
      action: actionOf(plan.resource, event, changed.change.verb),
      resource: literal(plan.resource),
    }
    const text = withEntry(plan, changed.change, fields.old, isOne ? entryOfOne(entry) : entryOfRows(entry))
    const make = changed.name === '' ? foreignStatement : statement
    found = {
      event,
      isOne,
      statement: make(text, changed.effect === 'read' ? 'change' : changed.effect, changed.label),
      parameters,
    }
    made.set(changed, [...known, found])
  }
  if (found.parameters === values.length) return found.statement
  throw new DefinitionError(
    `${changed.label ?? `${plan.resource}.${event}`} has ${found.parameters} parameters and was given ${values.length} values`,
  )
}

/** How many parameters a text has. A `$9` in a literal is none. */
function parametersOf(text: string): number {
  const tokens = new SqlTokens(text)
  let last = 0
  while (tokens.next()) if (tokens.kind === 'parameter') last = Math.max(last, Number(tokens.text.slice(1)))
  return last
}

/** The parameters of an entry, in the order of `entryValues`. */
function placesAfter(count: number, { owner }: TablePlan) {
  let last = count
  const place = (type: string) => `$${++last}::${type}`
  // A change across organizations writes an entry for each of them.
  const id = owner === undefined ? 'pg_catalog.gen_random_uuid()' : place('uuid')
  return {
    id,
    actor: [place('text'), place('uuid'), place('text'), place('uuid')].join(', '),
    event: place('text'),
    metadata: place('jsonb'),
    request: [place('inet'), place('text'), place('text')].join(', '),
  }
}

interface Entry {
  readonly fields: AuditedFields
  readonly change: ChangeText
  readonly places: ReturnType<typeof placesAfter>
  readonly action: AuditAction
  readonly resource: string
}

const entryColumns = `"org_id", "id", "actor_kind", "actor_id", "actor_label", "on_behalf_of", "event_type", "action", "resource_type",
  "ip_address", "user_agent", "request_id", "project_id", "resource_id", "changes", "metadata"`

/** The entry of a call that changes one row, or none. */
function entryOfOne({ fields, change, places, action, resource }: Entry): string {
  const { org, id, project, changes, from, isNew } = fields
  const { upsert } = ownOf(change) as ChangeText
  // A row that was there and is only returned is no change.
  const where = upsert !== undefined && upsert.changes === undefined ? ` where ${isNew}` : ''
  const done = upsert?.changes === undefined ? `'${action}'` : `case when ${isNew} then 'create' else 'update' end`
  return `insert into "platform"."audit_logs" (${entryColumns})
    select ${org}, ${places.id}, ${places.actor}, ${places.event}, ${done}, ${resource},
      ${places.request}, ${project}, ${id}, ${changes}, ${places.metadata} from ${from}${where}`
}

/**
 * The entry of a call that may change many rows: their number and their ids, and field by field only where it is one. One entry for each
 * organization: some calls of the system change rows of several.
 */
function entryOfRows({ fields, places, action, resource }: Entry): string {
  const { org, id, project, changes, from } = fields
  const ofOne = (what: string) => `case when t.count = 1 then (select ${what} from ${from} where ${org} = t.org) end`
  return `insert into "platform"."audit_logs" (${entryColumns})
    select t.org, ${places.id}, ${places.actor}, ${places.event}, '${action}', ${resource},
      ${places.request}, ${ofOne(project)}, case when t.count = 1 then t.ids[1] end, ${ofOne(changes)},
      case when t.count = 1 then ${places.metadata}
        else coalesce(${places.metadata}, '{}'::jsonb) || pg_catalog.jsonb_build_object('count'::text, t.count, 'ids'::text, pg_catalog.to_jsonb(t.ids)) end
    from (select ${org} as org, count(*) as count, (pg_catalog.array_agg(${id}))[1:${maxListed}] as ids from changed n group by 1) as t`
}
