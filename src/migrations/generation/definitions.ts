import { isDeepStrictEqual } from 'node:util'
import { readSnapshots, takeSnapshot } from './snapshot.js'

/**
 * The changes of the definitions that no migration has, as text; empty when both agree. `definitions` is everything that the schema
 * module exports. A rename is two changes: one object is missing, and another is new.
 */
export async function ungeneratedChanges(definitions: Record<string, unknown>, folder: string): Promise<string[]> {
  const { current } = await readSnapshots(folder)
  return differences(comparable(takeSnapshot(definitions)), comparable(current), [])
}

/** Leaves out ids, which differ in every snapshot, and `_meta`, which drizzle-kit leaves empty. */
function comparable(snapshot: object): object {
  return { ...snapshot, id: undefined, prevId: undefined, _meta: undefined }
}

function differences(defined: unknown, generated: unknown, path: readonly string[]): string[] {
  if (isObject(defined) && isObject(generated)) {
    const keys = new Set([...Object.keys(generated), ...Object.keys(defined)])
    return [...keys].flatMap((key) => differences(defined[key], generated[key], [...path, key]))
  }
  if (isDeepStrictEqual(defined, generated)) return []
  if (generated === undefined) return [`${words(path)} is in the definitions and in no migration`]
  if (defined === undefined) return [`${words(path)} is in the migrations and not in the definitions`]
  return [
    `${words(path)} is ${JSON.stringify(defined)} in the definitions and ${JSON.stringify(generated)} in the migrations`,
  ]
}

const kinds: Readonly<Record<string, string>> = {
  tables: 'table',
  columns: 'column',
  indexes: 'index',
  foreignKeys: 'foreign key',
  compositePrimaryKeys: 'primary key',
  uniqueConstraints: 'unique constraint',
  policies: 'policy',
  checkConstraints: 'check',
  enums: 'enum',
  schemas: 'schema',
  sequences: 'sequence',
  roles: 'role',
  views: 'view',
}

/** `tables, platform.agents, columns, name, notNull` reads `table platform.agents, column name, notNull`. */
function words(path: readonly string[]): string {
  const [first, second, ...rest] = path
  if (first === undefined) return ''
  const kind = kinds[first]
  const [head, tail] = kind !== undefined && second !== undefined ? [`${kind} ${second}`, rest] : [first, path.slice(1)]
  return tail.length > 0 ? `${head}, ${words(tail)}` : head
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
