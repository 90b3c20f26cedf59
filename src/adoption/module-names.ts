import * as library from '../schema/index.js'
import type { Catalog } from './catalog.js'

const isIdentifier = (name: string): boolean => /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name)

/** A string literal of TypeScript. */
export function stringOf(text: string): string {
  if (!/['\\\p{Cc}]/u.test(text)) return `'${text}'`
  return text.includes('"') && !/[`\\\p{Cc}]|\$\{/u.test(text) ? `\`${text}\`` : JSON.stringify(text)
}

/** The name of a property, quoted where it is no identifier. */
export const propertyOf = (name: string): string => (isIdentifier(name) ? name : stringOf(name))

/** A column of the parameter of a table's keys. */
export const accessOf = (of: string, property: string): string =>
  isIdentifier(property) ? `${of}.${property}` : `${of}[${stringOf(property)}]`

/** A comment of one line, whatever is in the names that it has. */
export const commentOf = (text: string): string => `// ${text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')}`

/**
 * The names that repositories expect, by the names of the columns. `orgId` is always the organization. Of two columns with one such name
 * the one that is called so in SQL gets it.
 */
export function propertiesOf(columns: readonly string[]): ReadonlyMap<string, string> {
  const wantedOf = (column: string) => column.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
  const rank = (column: string) => (column === 'org_id' ? 0 : wantedOf(column) === column ? 1 : 2)
  const taken = new Set<string>()
  return new Map(
    columns
      .toSorted((one, other) => rank(one) - rank(other))
      .map((column) => {
        const property = [wantedOf(column), column].find((name) => !taken.has(name)) ?? `${column}2`
        taken.add(property)
        return [column, property]
      }),
  )
}

/** Collects what a module imports, so that it imports nothing else. */
export class Imports {
  private readonly names = new Map<string, Set<string>>()

  drizzle(name: string): string {
    return this.add('drizzle-orm/pg-core', name)
  }

  tenantry(name: keyof typeof library): string {
    return this.add('tenantry/schema', name)
  }

  type(from: 'drizzle-orm/pg-core' | 'tenantry/schema', name: string): string {
    this.add(from, `type ${name}`)
    return name
  }

  lines(): string[] {
    const bare = (name: string) => name.replace('type ', '').toLowerCase()
    return [...this.names].sort().map(([from, names]) => {
      const sorted = [...names].sort((one, other) => (bare(one) < bare(other) ? -1 : 1))
      return `import { ${sorted.join(', ')} } from '${from}'`
    })
  }

  private add(from: string, name: string): string {
    this.names.set(from, (this.names.get(from) ?? new Set()).add(name))
    return name
  }
}

// What the module may import, its words of TypeScript, and the parameter of the keys.
const reserved = new Set(
  `${Object.keys(library).join(' ')} t bigint bigserial bit boolean char check cidr customType date doublePrecision foreignKey index inet integer
  interval json jsonb line macaddr macaddr8 numeric pgEnum pgSchema pgTable point primaryKey real serial smallint smallserial text time timestamp
  unique uniqueIndex uuid varchar arguments async await break case catch class const continue debugger default delete do else enum eval export
  extends false finally for function if implements import in instanceof interface let new null package private protected public return static
  super switch this throw true try typeof undefined var void while with yield`.split(/\s+/),
)
const reservedTypes = new Set([
  ...Object.keys(library),
  ...['Row', 'JsonValue', 'AnyPgColumn', 'any', 'bigint', 'boolean', 'never', 'number', 'object', 'string', 'symbol'],
])

export interface ModuleNames {
  /** Of the adopted schema, or undefined for `public`. */
  readonly schema: string | undefined
  readonly table: (name: string) => string
  readonly row: (table: string) => string
  /** Of an enum, or of its schema, by its key. */
  readonly enum: (key: string) => string
}

/**
 * The names of what the module exports: no two are the same, and none is one of `tenantry/schema`. `enums` has the name of each enum and of
 * its schema by a key.
 */
export function moduleNames(
  { schema }: Catalog,
  tables: readonly string[],
  enums: ReadonlyMap<string, string>,
): ModuleNames {
  const taken = new Set(reserved)
  const own = camel(schema)
  const before = schema === 'public' || !isIdentifier(own) ? 'app' : own
  const take = (name: string, other: (first: string) => string): string => {
    const first = camel(name)
    const second = other(first)
    let chosen = first
    for (let tried = 0; !isIdentifier(chosen) || taken.has(chosen); tried += 1)
      chosen = `${second}${tried === 0 ? '' : tried + 1}`
    taken.add(chosen)
    return chosen
  }
  const prefixed = (first: string) => `${before}${pascal(first)}`
  const ofTables = new Map(tables.map((name) => [name, take(name, prefixed)]))
  const ofSchema = schema === 'public' ? undefined : take(schema, () => `${before}Schema`)
  const ofEnums = new Map([...enums].map(([key, name]) => [key, take(name, (first) => `${first}Words`)]))
  const takenTypes = new Set(reservedTypes)
  const ofRows = new Map(
    tables.map((name) => {
      const one = pascal(singular(ofTables.get(name) ?? ''))
      let chosen = one
      for (let tried = 1; takenTypes.has(chosen); tried += 1) chosen = `${one}Row${tried === 1 ? '' : tried}`
      takenTypes.add(chosen)
      return [name, chosen]
    }),
  )
  return {
    schema: ofSchema,
    table: (name) => ofTables.get(name) ?? '',
    row: (name) => ofRows.get(name) ?? '',
    enum: (key) => ofEnums.get(key) ?? '',
  }
}

const camel = (name: string): string => {
  const joined = name.replaceAll(/[^\p{L}\p{Nd}]+(.?)/gu, (_, letter: string) => letter.toUpperCase())
  return joined.slice(0, 1).toLowerCase() + joined.slice(1)
}

const pascal = (name: string): string => name.slice(0, 1).toUpperCase() + name.slice(1)

function singular(name: string): string {
  if (/[^aeiou]ies$/.test(name)) return name.replace(/ies$/, 'y')
  if (/(?:ss|sh|ch|x|[^aeo]us)es$/.test(name)) return name.slice(0, -2)
  return /[^sui]s$/.test(name) ? name.slice(0, -1) : name
}
