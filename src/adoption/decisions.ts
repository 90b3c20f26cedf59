import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { InvalidInputError } from '../core/errors.js'
import { parseInput } from '../core/values.js'
import * as shape from '../schema/shared/shapes.js'

const name = z.string().min(1).max(63)

const named = {
  /** Columns that give an organization its name and its slug; without one they are made of its id. */
  name: name.optional(),
  slug: name.optional(),
  /**
   * Where organizations are there already that have some of the ids as their external ids: `same` if they are the same customers, `none` if
   * they are others, and the ids are not to be kept.
   */
  externalIds: z.enum(['same', 'none']).optional(),
}

const organizations = z.union(
  [
    /** Its rows are the organizations. */
    z.strictObject({ table: name, id: name, ...named }),
    /** Every row belongs to one organization. */
    z.strictObject({ constant: z.strictObject({ name: z.string().trim().min(1).max(200), slug: shape.slug }) }),
    /** Each row of this table, of people, becomes an organization. */
    z.strictObject({ personal: z.strictObject({ table: name, id: name, ...named }) }),
  ],
  {
    error:
      'must be { "table": "teams", "id": "id" }, { "personal": { "table": "users", "id": "id" } } or { "constant": { "name": "Acme", "slug": "acme" } }, or null',
  },
)
/** What becomes an organization. */
export type Organizations = z.output<typeof organizations>

const oneWay = z.union([
  /** A column that holds the id of the organization. */
  z.strictObject({ column: name }),
  /** A column that holds another unique column of the organization, such as an id of a provider. */
  z.strictObject({ mapped: z.strictObject({ column: name, to: name }) }),
  /** A foreign key: a row belongs where the row belongs to which it refers. */
  z.strictObject({ parent: name }),
  /** The same by a column that holds the primary key of a row, where no foreign key says so. */
  z.strictObject({ row: z.strictObject({ column: name, of: name }) }),
  /** A pair of columns that names a table and a row of it. */
  z.strictObject({
    polymorphic: z.strictObject({ type: name, id: name, tables: z.record(z.string(), name) }),
  }),
])
/** A way that is not made of others. */
export type OneWay = z.output<typeof oneWay>

const way = z.union(
  [
    z.literal('constant'),
    oneWay,
    /** The first of these that reaches an organization, such as for a row that belongs to one parent or to another. */
    z.strictObject({ either: z.array(oneWay).min(2) }),
  ],
  {
    error: 'must be a way, such as { "column": "team_id" }, { "parent": "tasks_project_id_fkey" } or { "either": […] }',
  },
)
/** How a row leads to its organization. */
export type Way = z.output<typeof way>

/** The ways that a way is made of. */
export const waysIn = (way: Way | undefined): readonly OneWay[] =>
  way === undefined || way === 'constant' ? [] : 'either' in way ? way.either : [way]

const unreached = z.union(
  [
    /** The rows get an organization of this slug. */
    z.strictObject({ constant: shape.slug }),
    /** The rows get the organization of the person that this column names; `of` is their table, where no foreign key says so. */
    z.strictObject({ personal: z.union([name, z.strictObject({ column: name, of: name })]) }),
    /** The rows are moved into a table beside this one, from which the way back puts them in again. */
    z.literal('quarantine'),
  ],
  { error: 'must be { "constant": "acme" } with a slug, { "personal": "owner_id" } with a column, or "quarantine"' },
)

/** The column that names the person to whom the rows go that the way does not reach. */
export function personColumn(unreached: TableDecision['unreached']): string | undefined {
  if (typeof unreached !== 'object' || 'constant' in unreached) return undefined
  return typeof unreached.personal === 'string' ? unreached.personal : unreached.personal.column
}

const table = z.strictObject({
  kind: z.enum(['tenant', 'organizations', 'people', 'shared', 'left']),
  way: way.optional(),
  /** What becomes of the rows that the way does not reach. */
  unreached: unreached.optional(),
  /** Keys that are to be unique in each organization. */
  unique: z.array(z.array(name).min(1)).optional(),
  /** Foreign keys that may lead into another organization. */
  crossing: z.array(name).optional(),
  /** Unique keys that stay unique in the whole table: whoever meets a conflict learns that another organization has the value. */
  global: z.array(name).optional(),
})
export type TableDecision = z.output<typeof table>

// What is not in the file is taken from what is found.
const givenTable = table.partial({ kind: true })
/** What somebody has decided about a table, which may be a part of it. */
export type GivenDecision = z.output<typeof givenTable>

/** Undefined while the kind of the table or its way is still to be found. Whoever names a way means a table of rows of organizations. */
export function completeDecision({ kind, ...given }: GivenDecision): TableDecision | undefined {
  const meant = kind ?? (given.way === undefined ? undefined : 'tenant')
  if (meant === undefined || (meant === 'tenant' && given.way === undefined)) return undefined
  return { ...given, kind: meant }
}

const decisions = z.strictObject({
  version: z.literal(1),
  schema: name,
  organizations: organizations.nullable(),
  tables: z.record(z.string(), givenTable),
  /** Of an earlier run. */
  found: z.unknown().optional(),
})
/** The part of tenantry.adopt.json that people edit. */
export interface GivenDecisions extends Omit<z.output<typeof decisions>, 'found'> {}
/** The same, together with what is found. */
export interface Decisions extends Omit<GivenDecisions, 'tables'> {
  readonly tables: Readonly<Record<string, TableDecision>>
}

/** Undefined where there is no file. What was found in an earlier run is left out. Refuses the decisions about another schema. */
export async function readDecisions(path: string, schema: string): Promise<GivenDecisions | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  let value: unknown
  try {
    // Some editors put a byte order mark in front.
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new InvalidInputError(path, `is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  const { found: _, ...read } = parseInput(decisions, value)
  if (read.schema !== schema)
    throw new InvalidInputError('--schema', `is ${schema}, and ${path} is about the schema ${read.schema}`)
  return read
}
