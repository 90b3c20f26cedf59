import { columnOf, type Definition, isAttribution, isInstant, isUuid, type Key, primaryKeyOf } from './definition.js'
import type { Rule } from './rule.js'

const labelOf = (key: Key): string => key.name ?? `the ${key.kind} on (${key.columns.join(', ')})`

const primaryKey: Rule = {
  name: 'primary-key',
  reason:
    '(org_id, id) serves look-ups, newest-first pages and composite foreign keys with one index, and Citus demands org_id.',
  *check(table) {
    const key = primaryKeyOf(table)
    const columns = key?.columns ?? []
    const hasId = columnOf(table, 'id') !== undefined
    const isExact = table.owner === 'org_id' && hasId && table.facts.partitionedBy === undefined
    const isSound = isExact
      ? columns.join() === 'org_id,id'
      : columns.length > 0 && (table.owner ?? columns[0]) === columns[0] && (!hasId || columns.includes('id'))
    if (isSound) return
    const wanted = [table.owner, hasId ? 'id' : undefined].filter((column) => column !== undefined)
    const shape = isExact ? `be (${wanted.join(', ')})` : `hold ${wanted.join(' first and ') || 'its key'}`
    yield {
      object: `${table.name}_pkey`,
      message: `${table.fullName}: the primary key must ${shape}. Write \`primaryKey({ name: '${table.name}_pkey', columns: [...] })\`.`,
    }
  },
}

const id: Rule = {
  name: 'id',
  sparesAdopted: true,
  reason:
    'Ids are UUIDv7 made by the library: they sort by age, and an insert into another organization reveals nothing.',
  *check(table) {
    const column = columnOf(table, 'id')
    if (column === undefined) return
    const isSound = column.notNull && column.default === undefined && !column.generated
    if (isSound && (isUuid(column) || table.facts.kind === 'catalog')) return
    yield {
      object: 'id',
      message: `${table.fullName}.id must be uuid not null without a database default. Write \`id: id()\`.`,
    }
  },
}

const partition: Rule = {
  name: 'partition',
  reason:
    'Postgres requires the partition column in every key, and rows of one month are found by the columns before it.',
  *check(table) {
    const { partitionedBy } = table.facts
    if (partitionedBy === undefined) return
    const column = columnOf(table, partitionedBy)
    const end = columnOf(table, 'id') === undefined ? [partitionedBy] : [partitionedBy, 'id']
    const isAtEnd = primaryKeyOf(table)?.columns.slice(-end.length).join() === end.join()
    if (column !== undefined && column.notNull && isInstant(column) && isAtEnd) return
    yield {
      object: partitionedBy,
      message: `${table.fullName} is partitioned by ${partitionedBy}, which must be timestamptz not null, and come after the other columns and before id in the primary key.`,
    }
  },
}

/** Whether the key serves a reference that cannot include the owner, because its target has none: a person, a catalog. */
const servesPlainReference = (table: Definition, key: Key): boolean =>
  table.references.some(
    ({ columns }) =>
      columns.every((name) => name !== table.owner) && columns.every((name, place) => key.columns[place] === name),
  )

const ownerFirst: Rule = {
  name: 'owner-first',
  reason:
    'A unique key across organizations reveals that a value exists elsewhere, and an index across them serves no scoped query.',
  *check(table) {
    const { owner, fullName } = table
    if (owner === undefined) return
    for (const key of table.keys) {
      if (key.kind === 'primary key' || key.method !== 'btree' || key.columns[0] === owner) continue
      if (key.kind !== 'index') {
        if (key.name !== undefined && table.facts.systemKeys?.includes(key.name)) continue
        yield {
          object: labelOf(key),
          message: `${fullName}: ${labelOf(key)} must begin with ${owner}: a unique key across owners reveals to one what another has. If only the system writes its columns, name it in \`systemKeys\` of declareTable.`,
        }
        continue
      }
      // Isolation does not depend on it.
      if (table.facts.adopted === true) continue
      const first = columnOf(table, key.columns[0] ?? '')
      if (first === undefined || isAttribution(table, first) || servesPlainReference(table, key)) continue
      if (key.name !== undefined && table.facts.sweeps?.includes(key.name)) continue
      yield {
        object: labelOf(key),
        message: `${fullName}: ${labelOf(key)} must begin with ${owner}. If it serves a search across owners, name it in \`sweeps\` of declareTable.`,
      }
    }
  },
}

const plainIndex: Rule = {
  name: 'plain-index',
  reason:
    'lower(), @> and @@ are not leakproof: under row security their indexes are not used. Descending ones are never needed.',
  *check(table) {
    for (const key of table.keys) {
      const what = labelOf(key)
      if (!key.isPlain || /\b(lower|upper)\(/i.test(key.where?.text ?? '')) {
        yield {
          object: what,
          message: `${table.fullName}: ${what} contains an expression. Store the value in a column (generated, or lower-case with \`lowerCaseCheck\`) and index that; \`collate "C"\` may follow its name.`,
        }
      }
      if (!key.ascending) {
        yield {
          object: what,
          message: `${table.fullName}: ${what} must be ascending, nulls last. Remove desc() and nullsFirst(): Postgres reads an index in both directions.`,
        }
      }
      if (['gin', 'gist', 'spgist'].includes(key.method)) {
        yield {
          object: what,
          message: `${table.fullName}: ${what} is a ${key.method} index, which cannot be used under row security. Use a btree over plain columns.`,
        }
      }
    }
  },
}

const softDelete: Rule = {
  name: 'soft-delete',
  reason: 'A deleted row must free its name, unless the value may never be used again.',
  *check(table) {
    if (columnOf(table, 'deleted_at') === undefined) return
    for (const key of table.keys) {
      if (key.kind !== 'unique index' || /\bdeleted_at is null\b/i.test(key.where?.text ?? '')) continue
      yield {
        object: labelOf(key),
        message: `${table.fullName}: ${labelOf(key)} counts deleted rows too. Add \`.where(literal('deleted_at is null'))\` so that a deleted row frees its value. If the value must never be used again, write \`unique()\` in place of \`uniqueIndex()\`.`,
      }
    }
  },
}

const declarations: Rule = {
  name: 'declarations',
  reason: 'A declared exception without effect hides the next real fault.',
  *check(table) {
    for (const name of table.facts.loose ?? []) {
      const isReference = table.references.some(({ columns }) => columns.includes(name))
      if (columnOf(table, name) !== undefined && !isReference) continue
      const why = isReference ? 'is a foreign key' : 'is not a column'
      yield {
        object: name,
        message: `${table.fullName}: ${name} is declared \`loose\` but ${why}. Remove it from declareTable.`,
      }
    }
    for (const name of table.facts.changes ?? []) {
      if (columnOf(table, name) !== undefined) continue
      yield {
        object: name,
        message: `${table.fullName}: ${name} is declared in \`changes\` but is not a column. Remove it from declareTable.`,
      }
    }
    for (const name of table.facts.sweeps ?? []) {
      const key = table.keys.find((one) => one.name === name)
      if (key !== undefined && key.columns[0] !== table.owner) continue
      const why = key === undefined ? 'is not an index' : `begins with ${table.owner ?? ''}`
      yield {
        object: name,
        message: `${table.fullName}: ${name} is declared in \`sweeps\` but ${why}. Remove it from declareTable.`,
      }
    }
  },
}

export const keyRules: readonly Rule[] = [primaryKey, id, partition, ownerFirst, plainIndex, softDelete, declarations]
