import { quoted } from '../core/statements/column-plan.js'
import { type Catalog, type CatalogTable, isOurs } from './catalog.js'
import type { Decisions } from './decisions.js'
import type { Finding } from './findings.js'
import { stringOf } from './module-names.js'

/** What the catalog alone tells. Tables that are left as they are, those of people, which stay so too, and undecided ones have no findings. */
export function catalogFindings(catalog: Catalog, { tables }: Decisions): Finding[] {
  const adopted = catalog.tables.filter(({ name }) =>
    ['tenant', 'organizations', 'shared'].includes(tables[name]?.kind ?? 'left'),
  )
  return [
    ...adopted.flatMap(obstaclesOf),
    ...adopted.filter(({ name }) => tables[name]?.kind === 'tenant').flatMap(notesOn),
    ...sequenceNotes(adopted.filter(({ name }) => tables[name]?.kind === 'tenant')),
    ...catalog.definerFunctions.map((name): Finding => ({
      kind: 'definer function',
      needs: 'attention',
      message: `${name} runs with the rights of its owner: it sees the rows of every organization`,
    })),
    ...catalog.publications.flatMap(({ name, tables: published }): Finding[] => {
      const sent = published.filter((table) => tables[table]?.kind === 'tenant')
      if (sent.length === 0) return []
      const message = `${name} sends the rows of every organization in ${sent.join(', ')}`
      return [{ kind: 'publication', needs: 'attention', message }]
    }),
  ]
}

/** The step observe gives the application the right to use them. The proof of a service refuses a right that is not declared. */
function sequenceNotes(tenants: readonly CatalogTable[]): Finding[] {
  const sequences = tenants.flatMap((table) => table.sequences)
  if (sequences.length === 0) return []
  const list = sequences.map(stringOf).join(', ')
  const message = `columns are numbered from sequences: where a service of tenantry uses this database, name them for it beside the tables before observe, in allowRelations: [${list}]`
  return [{ kind: 'sequence', needs: 'attention', message }]
}

const orLeave = 'or give the table the kind "left"'

function obstaclesOf(table: CatalogTable): Finding[] {
  const { name, form, primaryKey, policies, isForced } = table
  const restrictive = policies.filter((policy) => policy.isRestrictive && !isOurs(policy))
  const found: (readonly [kind: string, message: string])[] = []
  if (form === 'unlogged')
    found.push(['unlogged', `loses its rows in a crash: \`alter table … set logged\`, ${orLeave}`])
  if (form === 'foreign')
    found.push(['foreign', `is on another server, where row security does not reach: move its rows here, ${orLeave}`])
  if (form === 'inherited')
    found.push(['inheritance', `inherits or is inherited from: make partitions or separate tables of it, ${orLeave}`])
  if (form === 'typed')
    found.push(['typed', `is made of a type, and takes no further column: \`alter table … not of\`, ${orLeave}`])
  if (primaryKey.length === 0 && form !== 'foreign')
    found.push(['no primary key', `has no primary key: ${keyFor(table) ?? 'add one'}, ${orLeave}`])
  if (restrictive.length > 0)
    found.push([
      'restrictive policy',
      `has restrictive policies (${restrictive.map((one) => one.name).join(', ')}): drop them, ${orLeave}`,
    ])
  if (isForced)
    found.push([
      'forced',
      `has FORCE ROW LEVEL SECURITY, which binds its owner too: \`alter table … no force row level security\`, ${orLeave}`,
    ])
  return found.map(([kind, message]) => ({ table: name, kind, needs: 'mend', message: `${name} ${message}` }))
}

/** A unique index that could be the primary key as it is, in a statement that takes milliseconds. */
function keyFor({ columns, uniqueKeys }: CatalogTable): string | undefined {
  const given = columns.filter(({ isNullable }) => !isNullable).flatMap(({ name }) => [name, quoted(name)])
  const key = uniqueKeys.find(
    ({ columns: named, where, isConstraint, definition }) =>
      where === null &&
      !isConstraint &&
      named.every((name) => given.includes(name)) &&
      // No order, collation or operators of its own.
      definition.endsWith(` USING btree (${named.join(', ')})`),
  )
  return key && `\`alter table … add primary key using index ${quoted(key.name)}\``
}

function notesOn(table: CatalogTable): Finding[] {
  const { name, columns, primaryKey, indexes, triggers, views, policies, grantees } = table
  const note = (kind: string, message: string): Finding => ({ table: name, kind, needs: 'attention', message })
  const noUuid = columns.filter((column) => primaryKey.includes(column.name) && column.type !== 'uuid')
  const updating = triggers.filter(({ firesOnUpdate }) => firesOnUpdate)
  return [
    ...(table.isAdopted ? [note('adopted', `the rows of ${name} have organizations of tenantry already`)] : []),
    ...(noUuid.length > 0
      ? [
          note(
            'no uuid',
            `${name} keeps its key: ${noUuid.map((column) => `${column.name} is ${column.type}`).join(', ')}`,
          ),
        ]
      : []),
    ...(grantees.length > 0
      ? [
          note(
            'role',
            `${name} is used by ${grantees.join(', ')}: from enforce on, only logins of tenantry see its rows`,
          ),
        ]
      : []),
    ...updating.map((trigger) =>
      note(
        'trigger',
        `${trigger.name} of ${name} calls ${trigger.function} on updates; it is silent while rows are filled, and openTenancy refuses it on a table of "own"`,
      ),
    ),
    ...views.map((view) =>
      note('view', `${view} shows or holds rows of ${name} without row security, unless it gets \`security_invoker\``),
    ),
    ...policies
      .filter((policy) => !policy.isRestrictive && !isOurs(policy))
      .map((policy) =>
        note('policy', `${policy.name} of ${name} would let rows through beside the policies of tenantry`),
      ),
    ...indexes
      .filter(({ leaking }) => leaking.length > 0)
      .map(({ name: index, bytes, scans, leaking }) =>
        note(
          'index',
          `${index} of ${name} (${Math.round(bytes / 1024)} kB, ${scans} scans) cannot serve under row security what is asked by ${leaking.join(', ')}`,
        ),
      ),
  ]
}
