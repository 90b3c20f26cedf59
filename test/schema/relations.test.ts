import { createTableRelationsHelpers, extractTablesRelationalConfig, One, is, normalizeRelation } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import * as schema from '../../src/schema/index.js'
import { factsOf } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'

const { tables, tableNamesMap } = extractTablesRelationalConfig(schema, createTableRelationsHelpers)

const nameOf = (table: PgTable) => getTableConfig(table).name
const places = (columns: readonly { name: string }[]) => columns.map(({ name }) => name).join(', ')

const isUnique = (table: PgTable, columns: string): boolean =>
  getTableConfig(table).uniqueConstraints.some((unique) => places(unique.columns) === columns)

/** Each foreign key as both tables see it, in words. Keys to the organization and to people have no relation. */
const keys = platformTables.flatMap((table) =>
  getTableConfig(table).foreignKeys.flatMap((key) => {
    const { columns, foreignTable, foreignColumns } = key.reference()
    if (['organizations', 'users'].includes(nameOf(foreignTable))) return []
    const [here, there] = [
      `${nameOf(table)} (${places(columns)})`,
      `${nameOf(foreignTable)} (${places(foreignColumns)})`,
    ]
    const target = platformTables.find((other) => nameOf(other) === nameOf(foreignTable))
    const isCatalog = target !== undefined && factsOf(target)?.kind === 'catalog'
    const back = isUnique(table, places(columns)) ? 'one' : 'many'
    return [`${here} one ${there}`, ...(isCatalog ? [] : [`${there} ${back} ${here}`])]
  }),
)

const related = Object.values(tables).flatMap(({ dbName, relations }) =>
  Object.values(relations).map((relation) => {
    const { fields, references } = normalizeRelation(tables, tableNamesMap, relation)
    const count = is(relation, One) ? 'one' : 'many'
    return `${dbName} (${places(fields)}) ${count} ${relation.referencedTableName} (${places(references)})`
  }),
)

test('each foreign key has its relation, on both sides', () => {
  expect(keys.length).toBeGreaterThan(50)
  expect([...related].sort()).toEqual([...keys].sort())
})

test('no relation has the name of a column, which it would hide', () => {
  const hidden = Object.values(tables).flatMap(({ dbName, relations, columns }) =>
    Object.keys(relations).flatMap((name) => (name in columns ? [`${dbName}.${name}`] : [])),
  )
  expect(hidden).toEqual([])
})
