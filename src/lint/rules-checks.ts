import { is, SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { type Definition, type SqlText, sqlText } from './definition.js'
import type { Rule } from './rule.js'

/** A column's name inside a pattern. */
const inPattern = (name: string): string => name.replaceAll(/\W/g, '\\$&')

const isChecked = (table: Definition, pattern: RegExp): boolean =>
  table.checks.some(({ predicate }) => pattern.test(predicate.text))

const state: Rule = {
  name: 'state',
  sparesAdopted: true,
  reason: 'A state that the code does not know breaks every reader; the check and the type must have the same list.',
  *check(table) {
    for (const column of table.columns) {
      const words = column.enumValues ?? []
      if (column.columnType.startsWith('PgEnum') || (words.length === 0 && column.name !== 'status')) continue
      const where = `${table.fullName}.${column.name}`
      const use = `\`state('${column.name}', words)\``
      if (words.length === 0) {
        yield {
          object: column.name,
          message: `${where} has no closed list of words. Write ${use} and a \`stateCheck\` over it.`,
        }
        continue
      }
      const wanted = `${column.name} in (${words.map((word) => `'${word}'`).join(', ')})`
      if (!table.checks.some(({ predicate }) => predicate.text === wanted)) {
        yield {
          object: column.name,
          message: `${where} has no check "${wanted}". Add \`stateCheck('${table.name}_${column.name}_check', '${column.name}', words)\` over the same list.`,
        }
      }
      if (['status', 'state'].includes(column.name) && column.notNull && column.default === undefined) {
        yield {
          object: column.name,
          message: `${where} has no default. Write \`${use.slice(1, -1)}.notNull().default(...)\`.`,
        }
      }
    }
  },
}

const number: Rule = {
  name: 'number',
  reason:
    'Postgres sorts NaN above every number, so `x >= 0` accepts it, and it makes every sum NaN; double and unbounded numeric also accept infinities.',
  *check(table) {
    for (const column of table.columns) {
      const type = column.getSQLType()
      if (!/^(numeric|double precision)(\(.*\))?$/.test(type)) continue
      const { name } = column
      const x = `\\b${inPattern(name)}`
      const mustBeFinite = !type.includes('(')
      const isFinite =
        isChecked(table, new RegExp(`${x} (<>|<) 'Infinity'|${x} (<=?|between) -?\\d`)) &&
        isChecked(table, new RegExp(`${x} (<>|>) '-Infinity'|${x} (>=?|between) -?\\d`))
      if (isChecked(table, new RegExp(`${x} <> 'NaN'`)) && (isFinite || !mustBeFinite)) continue
      const bounds = mustBeFinite ? `, "${name} > '-Infinity' and ${name} < 'Infinity'"` : ''
      yield {
        object: name,
        message: `${table.fullName}.${name} is ${type} and accepts NaN${mustBeFinite ? ' or infinities' : ''}. Add \`numberCheck('${table.name}_${name}_check', '${name}'${bounds})\`.`,
      }
    }
  },
}

const lowerCase: Rule = {
  name: 'lower-case',
  sparesAdopted: true,
  reason: 'Two spellings of one address would be two people, and row security prevents the use of an index on lower().',
  *check(table) {
    for (const { name } of table.columns) {
      if (!['email', 'username', 'slug'].includes(name)) continue
      if (isChecked(table, new RegExp(`\\b${name} = lower\\(${name}\\)|\\b${name} ~ '\\^[^'A-Z]*'`))) continue
      yield {
        object: name,
        message: `${table.fullName}.${name} must be stored in lower case. Add \`lowerCaseCheck('${table.name}_${name}_check', '${name}')\`.`,
      }
    }
  },
}

const generatedOf = ({ generated }: PgColumn): SQL | undefined => {
  const as = generated?.as
  const value = typeof as === 'function' ? (as as () => unknown)() : as
  return is(value, SQL) ? value : undefined
}

function* predicatesOf(table: Definition): Iterable<[string, SqlText]> {
  for (const { name, predicate } of table.checks) yield [name, predicate]
  for (const { name, where } of table.keys) if (where !== undefined) yield [name ?? 'an index', where]
  for (const column of table.columns) {
    for (const value of [column.default, generatedOf(column)]) {
      if (is(value, SQL)) yield [column.name, sqlText(value)]
    }
  }
}

const literalText: Rule = {
  name: 'literal',
  reason:
    'A bound value becomes `$1` in the migration, and a column qualified with its table is refused or compared as different.',
  *check(table) {
    for (const [name, { text, bound }] of predicatesOf(table)) {
      const code = text.replaceAll(/'[^']*'/g, "''")
      const isQualified = code.includes(`${table.name}.`) || code.includes(`"${table.name}".`)
      // An adopted column may have a name that needs quotes.
      const isQuoted = code.includes('"') && table.facts.adopted !== true
      if (!bound && !isQualified && !isQuoted) continue
      const what = bound ? 'has a bound value' : 'has columns with quotes or with their table'
      yield {
        object: name,
        message: `${table.fullName}: ${name} ${what}: "${text}". Write it as text with bare column names: \`literal("status = 'active'")\`.`,
      }
    }
  },
}

export const checkRules: readonly Rule[] = [state, number, lowerCase, literalText]
