import type { Catalog, CatalogTable } from './catalog.js'
import type { Decisions } from './decisions.js'
import type { Finding } from './findings.js'

/** What the catalog alone tells of the tables that are not left as they are. */
export function catalogFindings(catalog: Catalog, { tables }: Decisions): Finding[] {
  const adopted = catalog.tables.filter(({ name }) => tables[name] !== undefined && tables[name].kind !== 'left')
  return [
    ...adopted.flatMap(obstaclesOf),
    ...adopted.filter(({ name }) => tables[name]?.kind === 'tenant').flatMap((table) => notesOn(table, tables)),
    ...catalog.definerFunctions.map((name): Finding => ({
      kind: 'definer function',
      needs: 'attention',
      message: `${name} runs with the rights of its owner: it sees the rows of every organization`,
    })),
    ...catalog.publications.map(({ name, tables: published }): Finding => ({
      kind: 'publication',
      needs: 'attention',
      message: `${name} sends the rows of every organization in ${published.join(', ')}`,
    })),
  ]
}

const mend = 'or say that the table is left as it is'

function obstaclesOf(table: CatalogTable): Finding[] {
  const { name, form, primaryKey, policies, isForced } = table
  const restrictive = policies.filter(({ isRestrictive }) => isRestrictive)
  const found: (readonly [kind: string, message: string])[] = []
  if (form === 'unlogged') found.push(['unlogged', `loses its rows in a crash: \`alter table … set logged\`, ${mend}`])
  if (form === 'foreign')
    found.push(['foreign', `is on another server, where row security does not reach: move its rows here, ${mend}`])
  if (form === 'inherited')
    found.push(['inheritance', `inherits or is inherited from: make partitions or separate tables of it, ${mend}`])
  if (primaryKey.length === 0 && form !== 'foreign')
    found.push(['no primary key', `has no primary key: add one, ${mend}`])
  if (restrictive.length > 0)
    found.push([
      'restrictive policy',
      `has restrictive policies (${restrictive.map((one) => one.name).join(', ')}): drop them, ${mend}`,
    ])
  if (isForced)
    found.push([
      'forced',
      `has FORCE ROW LEVEL SECURITY, which binds its owner too: \`alter table … no force row level security\`, ${mend}`,
    ])
  return found.map(([kind, message]) => ({ table: name, kind, needs: 'mend', message: `${name} ${message}` }))
}

function notesOn(table: CatalogTable, decisions: Decisions['tables']): Finding[] {
  const { name, columns, primaryKey, indexes, triggers, views, policies } = table
  const note = (kind: string, message: string): Finding => ({ table: name, kind, needs: 'attention', message })
  const way = decisions[name]?.way
  const organization = columns.find((column) => column.name === 'org_id')
  const isTheWay = typeof way === 'object' && 'column' in way && way.column === 'org_id'
  const noUuid = columns.filter((column) => primaryKey.includes(column.name) && column.type !== 'uuid')
  const updating = triggers.filter(({ firesOnUpdate }) => firesOnUpdate)
  return [
    ...(organization !== undefined && (!isTheWay || organization.type !== 'uuid')
      ? [
          note(
            'name collision',
            `${name}.org_id is there already, as ${organization.type}, and is not the id of its organization`,
          ),
        ]
      : []),
    ...(noUuid.length > 0
      ? [
          note(
            'no uuid',
            `${name} keeps its key: ${noUuid.map((column) => `${column.name} is ${column.type}`).join(', ')}`,
          ),
        ]
      : []),
    ...updating.map((trigger) =>
      note(
        'trigger',
        `${trigger.name} of ${name} calls ${trigger.function} on updates; it is silent while rows are filled`,
      ),
    ),
    ...views.map((view) =>
      note('view', `${view} reads ${name} with the rights of the view's owner, who may see every organization`),
    ),
    ...policies
      .filter(({ isRestrictive }) => !isRestrictive)
      .map((policy) =>
        note('policy', `${policy.name} of ${name} would let rows through beside the policies of tenantry`),
      ),
    ...indexes
      .filter(({ leaking }) => leaking.length > 0)
      .map(({ name: index, bytes, scans, leaking }) =>
        note(
          'index',
          `${index} of ${name} (${Math.round(bytes / 1024)} kB, ${scans} scans) is not used under row security: ${leaking.join(', ')}`,
        ),
      ),
  ]
}
