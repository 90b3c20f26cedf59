import type { Definition, Key } from './definition.js'
import type { Rule } from './rule.js'

const longest = 55
const isWord = (name: string): boolean => /^[a-z][a-z0-9_]*$/.test(name) && name.length <= longest

const identifiers: Rule = {
  name: 'identifiers',
  sparesAdopted: true,
  reason: 'Postgres cuts names at 63 bytes, and partitions add to them; names in mixed case always need quotes.',
  *check(table) {
    const names = [table.name, ...table.columns.map(({ name }) => name)]
    for (const name of names.filter((one) => !isWord(one))) {
      yield {
        object: name,
        message: `${table.fullName}: ${name} must be snake_case of at most ${longest} characters. Give it its SQL name, such as \`text('first_name')\`.`,
      }
    }
  },
}

const properties: Rule = {
  name: 'properties',
  reason: 'Repositories, filters and cursors find a column by its name in TypeScript.',
  *check(table) {
    for (const [property, { name }] of Object.entries(table.properties)) {
      const wanted = name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
      if (property === wanted) continue
      yield {
        object: name,
        message: `${table.fullName}.${name} is called ${property} in TypeScript. Call it ${wanted}.`,
      }
    }
  },
}

const shapes: Readonly<Record<Key['kind'] | 'foreign key' | 'check', string>> = {
  'primary key': '<table>_pkey',
  'foreign key': '<table>_<what>_fkey',
  unique: '<table>_<what>_key',
  'unique index': '<table>_<what>_key',
  index: '<table>_<what>_idx',
  check: '<table>_<what>_check',
}

function hasShape(name: string, shape: string): boolean {
  const [start = '', end] = shape.split('<what>')
  if (end === undefined) return name === start
  return name.startsWith(start) && name.endsWith(end) && isWord(name.slice(start.length, -end.length))
}

function* objectsOf(
  table: Definition,
): Iterable<[keyof typeof shapes, string | undefined, readonly (string | undefined)[]]> {
  for (const { kind, name, columns } of table.keys) yield [kind, name, columns]
  for (const { name, columns } of table.references) yield ['foreign key', name, columns]
  for (const { name } of table.checks) yield ['check', name, []]
}

const objectNames: Rule = {
  name: 'object-names',
  sparesAdopted: true,
  reason:
    'Errors and migrations name keys and checks: the name must contain the table and the kind, and must not change by itself.',
  *check(table) {
    for (const [kind, name, columns] of objectsOf(table)) {
      const shape = shapes[kind].replace('<table>', table.name)
      if (name !== undefined && hasShape(name, shape) && name.length <= longest) continue
      const what = name ?? `the ${kind} on (${columns.join(', ')})`
      const inline =
        name === undefined && kind === 'foreign key'
          ? ' Use `foreignKey({ name, ... })`: `.references()` cannot be named.'
          : ''
      yield {
        object: what,
        message: `${table.fullName}: ${what} must be named ${shape}, at most ${longest} characters.${inline}`,
      }
    }
  },
}

export const nameRules: readonly Rule[] = [identifiers, properties, objectNames]
