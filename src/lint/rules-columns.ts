import { getTableColumns, is, SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { isSealed } from '../schema/shared/ciphertext.js'
import { columnOf, type Definition, elementOf, isInstant, type Reference, sqlText } from './definition.js'
import type { Rule } from './rule.js'

const typeOf = (column: PgColumn): string => elementOf(column).getSQLType()

/** A rule that refuses a column type. */
const refusedType = (name: string, reason: string, isOne: (column: PgColumn) => boolean, instead: string): Rule => ({
  name,
  reason,
  *check(table) {
    for (const column of table.columns.filter(isOne)) {
      yield {
        object: column.name,
        message: `${table.fullName}.${column.name} is ${column.getSQLType()}. ${instead.replaceAll('<name>', column.name)}`,
      }
    }
  },
})

const isSequence = (column: PgColumn): boolean =>
  typeOf(column).endsWith('serial') ||
  column.generatedIdentity !== undefined ||
  (is(column.default, SQL) && sqlText(column.default).text.includes('nextval'))

const noSequence: Rule = {
  ...refusedType(
    'no-sequence',
    'A sequence counts over all organizations, so each can see how busy the others are; Citus cannot share it.',
    isSequence,
    'Numbers from a sequence are not used: write `id()` for an id, or count in a row of the organization.',
  ),
  sparesAdopted: true,
}

const noEnum = refusedType(
  'no-enum',
  'Comparing enums is not leakproof, so row security prevents the use of their indexes; and a value can never be removed.',
  (column) => elementOf(column).columnType.startsWith('PgEnum'),
  "Write `state('<name>', words)` with a `stateCheck` over the same list.",
)

const timestamptz = refusedType(
  'timestamptz',
  'The moment that a timestamp without a time zone stands for depends on the server.',
  (column) => typeOf(column).startsWith('time') && !isInstant(elementOf(column)),
  "Write `instant('<name>')`.",
)

const json = refusedType(
  'json',
  'Drizzle\'s own jsonb parses a string twice: the JSON string "1" comes back as the number 1. json keeps text, not values.',
  (column) => /^PgJsonb?$/.test(elementOf(column).columnType) || typeOf(column) === 'json',
  "Write `json<Shape>('<name>')` of tenantry.",
)

const exactType = refusedType(
  'exact-type',
  "real loses digits after the sixth, money depends on the server's locale, and citext does not compare leakproof.",
  (column) => /^(real|money|citext)$/.test(typeOf(column)),
  "Write `numeric('<name>', ...)`, `money('<name>')` or `doublePrecision('<name>')` for a number, lower-case text with a `lowerCaseCheck` for citext.",
)

const isNow = (column: PgColumn): boolean => is(column.default, SQL) && sqlText(column.default).text === 'now()'

const timestamps: Rule = {
  name: 'timestamps',
  sparesAdopted: true,
  reason:
    'Lists, exports and retention read created_at of every table; updated_at marks the tables with rows that can change.',
  *check(table) {
    const { fullName, facts } = table
    const isFixed = facts.appendOnly === true || facts.partitionedBy !== undefined || facts.changes !== undefined
    for (const name of isFixed ? ['created_at'] : ['created_at', 'updated_at']) {
      const column = columnOf(table, name)
      if (column !== undefined && isInstant(column) && column.notNull && isNow(column)) continue
      yield {
        object: name,
        message: `${fullName} needs ${name} timestamptz not null default now(). Add \`${isFixed ? 'createdAt: createdAt()' : '...timestamps()'}\`.${isFixed ? '' : ' Where rows never change, declare appendOnly.'}`,
      }
    }
    for (const name of isFixed ? ['updated_at', 'deleted_at'] : []) {
      if (columnOf(table, name) === undefined) continue
      yield {
        object: name,
        message: `${fullName} has ${name} although its rows are written once. Use \`createdAt: createdAt()\` alone.`,
      }
    }
    const deletedAt = columnOf(table, 'deleted_at')
    if (deletedAt === undefined || isFixed) return
    if (isInstant(deletedAt) && !deletedAt.notNull && !deletedAt.hasDefault) return
    yield {
      object: 'deleted_at',
      message: `${fullName}.deleted_at must be a nullable timestamptz without a default. Write \`...softDelete()\`.`,
    }
  },
}

const isRequired =
  (table: Definition) =>
  ({ columns }: Reference): boolean =>
    columns.every((name) => columnOf(table, name)?.notNull === true)

const money: Rule = {
  name: 'money',
  reason: 'An amount without its currency cannot be added up, and a JavaScript number loses cents.',
  *check(table) {
    const currencies = [
      ...table.columns,
      // Or the currency of the row that this one requires.
      ...table.references
        .filter(isRequired(table))
        .flatMap(({ targetTable }) => Object.values(getTableColumns(targetTable))),
    ].filter(({ name }) => name === 'currency')
    const hasCurrency = currencies.some((column) => column.getSQLType() === 'char(3)' && column.notNull)
    for (const column of table.columns.filter((one) => typeOf(one) === 'numeric(14, 2)')) {
      if (hasCurrency && elementOf(column).columnType === 'PgNumeric') continue
      yield {
        object: column.name,
        message: `${table.fullName}.${column.name} is money: a decimal string with a currency beside it. Write \`money('${column.name}')\` and \`currency: currency().notNull()\`.`,
      }
    }
  },
}

const sealed: Rule = {
  name: 'sealed',
  reason: "Destroying an organization's key empties its sealed columns, and the rows stay.",
  *check(table) {
    for (const { name } of table.columns.filter((column) => isSealed(column) && column.notNull)) {
      yield { object: name, message: `${table.fullName}.${name} is sealed and must be nullable. Remove notNull().` }
    }
  },
}

export const columnRules: readonly Rule[] = [
  noSequence,
  noEnum,
  timestamptz,
  json,
  exactType,
  timestamps,
  money,
  sealed,
]
