import { columnOf, type Definition, isAttribution, isUuid, type Reference, usersTable } from './definition.js'
import type { Rule } from './rule.js'

const isOwnerReference = (table: Definition, { columns }: Reference): boolean => columns.join() === table.owner

const isAttributed = (table: Definition, { columns }: Reference): boolean => {
  const column = columnOf(table, columns[0] ?? '')
  return columns.length === 1 && column !== undefined && isAttribution(table, column)
}

const missingReference: Rule = {
  name: 'missing-reference',
  reason: "An id without a foreign key may point to another organization's row, or to none.",
  *check(table) {
    if (table.owner !== 'org_id' || table.facts.outlives === true) return
    for (const column of table.columns) {
      if (!column.name.endsWith('_id') || column.name === table.owner || !isUuid(column)) continue
      if (table.facts.loose?.includes(column.name)) continue
      if (table.references.some(({ columns }) => columns.includes(column.name))) continue
      yield {
        object: column.name,
        message: `${table.fullName}.${column.name} is not a foreign key. Add \`foreignKey({ name, columns: [t.orgId, ...], foreignColumns: [..] })\` to (org_id, id), or name it in \`loose\` of declareTable if the row outlives it.`,
      }
    }
  },
}

const undeclaredTarget: Rule = {
  name: 'undeclared-target',
  reason: 'Whether a foreign key stays inside an organization depends on the owner of the rows that it refers to.',
  *check(table) {
    for (const { label, target, targetFacts } of table.references) {
      if (targetFacts !== undefined) continue
      yield {
        object: label,
        message: `${table.fullName}: ${label} refers to ${target}, which has no declared kind. Call declareTable for it.`,
      }
    }
  },
}

const compositeReference: Rule = {
  name: 'composite-reference',
  reason:
    "Foreign-key checks ignore row security: a single-column key accepts another organization's row and cascades into it.",
  *check(table) {
    for (const { label, columns, target, targetOwner, targetColumns } of table.references) {
      if (targetOwner === undefined) continue
      const ownColumn = columns[targetColumns.indexOf(targetOwner)]
      if (ownColumn !== undefined && (targetOwner !== table.owner || ownColumn === table.owner)) continue
      yield {
        object: label,
        message: `${table.fullName}: ${label} must include ${targetOwner} on both sides. Write \`columns: [${targetOwner}, ...]\` and \`foreignColumns\` of ${target}(${targetOwner}, ...).`,
      }
    }
  },
}

interface Deletion {
  readonly allowed: readonly string[]
  readonly because: string
}

/** The permitted actions on a row when the row that it refers to is deleted. */
function deletionOf(table: Definition, reference: Reference): Deletion {
  const isNullable = reference.columns.some((name) => columnOf(table, name)?.notNull === false)
  if (reference.targetFacts?.kind === 'catalog') {
    return { allowed: ['no action', 'cascade'], because: 'rows of a catalog are not deleted' }
  }
  if (reference.targetOwner === undefined) {
    return isNullable
      ? { allowed: ['set null'], because: 'the reference is optional and a single column' }
      : { allowed: ['cascade'], because: 'the row requires it' }
  }
  if (isNullable) {
    // A child may be deleted with its parent, even if the parent is optional.
    const allowed = reference.target === table.fullName ? ['no action', 'cascade'] : ['no action']
    return { allowed, because: 'the repository clears it first, and SET NULL would also empty org_id' }
  }
  // A word such as a role's key, not an id: deleting it may be refused while it is in use.
  const isWord = !reference.columns.some((name) => name !== table.owner && name.endsWith('_id'))
  return { allowed: isWord ? ['cascade', 'no action'] : ['cascade'], because: 'the row requires it' }
}

const deletion: Rule = {
  name: 'deletion',
  sparesAdopted: true,
  reason:
    'A purge relies on CASCADE and NO ACTION; RESTRICT would stop it, and Citus refuses SET NULL on a composite key.',
  *check(table) {
    for (const reference of table.references) {
      const { label, onDelete, onUpdate, targetFacts } = reference
      if (onUpdate !== 'no action') {
        yield {
          object: label,
          message: `${table.fullName}: ${label} is on update ${onUpdate}. Remove onUpdate: keys never change.`,
        }
      }
      if (targetFacts === undefined || isOwnerReference(table, reference) || isAttributed(table, reference)) continue
      const { allowed, because } = deletionOf(table, reference)
      if (allowed.includes(onDelete)) continue
      yield {
        object: label,
        message: `${table.fullName}: ${label} is on delete ${onDelete}; it must be ${allowed.join(' or ')}, because ${because}.`,
      }
    }
  },
}

const attribution: Rule = {
  name: 'attribution',
  sparesAdopted: true,
  reason:
    'The author of a row is information only: it must neither prevent the erasure of a person nor delete rows with the person.',
  *check(table) {
    const owner = table.owner === undefined ? [] : [table.owner]
    for (const column of table.columns) {
      if (!isAttribution(table, column)) continue
      const { name } = column
      const isReference = table.references.some(
        ({ columns, target, onDelete }) => columns.join() === name && target === usersTable && onDelete === 'set null',
      )
      const isIndexed = table.keys.some(
        ({ columns, where }) => columns.join() === [name, ...owner].join() && where === undefined,
      )
      if (!column.notNull && isReference && isIndexed) continue
      yield {
        object: name,
        message: `${table.fullName}.${name} must be nullable, refer to ${usersTable} on delete set null, and have an index on (${[name, ...owner].join(', ')}). Write \`attribution('${name}')\` and \`...attributedTo('${table.name}', ${['t.<column>', ...owner.map(() => 't.<owner>')].join(', ')})\`.`,
      }
    }
  },
}

const referenceIndex: Rule = {
  name: 'reference-index',
  reason: 'Without an index, deleting a row that others refer to reads this whole table.',
  *check(table) {
    for (const reference of table.references) {
      const { label, columns, targetFacts } = reference
      if (targetFacts?.kind === 'catalog' || isOwnerReference(table, reference) || isAttributed(table, reference))
        continue
      const isCovered = table.keys.some((key) => {
        const leading = key.columns.slice(0, columns.length)
        return (
          key.method === 'btree' &&
          columns.every((name) => leading.includes(name)) &&
          (key.where === undefined || columns.includes(notNull(key.where.text) ?? ''))
        )
      })
      if (isCovered) continue
      yield {
        object: label,
        message: `${table.fullName}: no index begins with (${columns.join(', ')}), the columns of a foreign key. Add \`index('${table.name}_<what>_idx')\` on them, without a predicate, or for the rows where one of them is not null.`,
      }
    }
  },
}

/** The column of the predicate `column is not null`. A row in which it is null refers to nothing. */
const notNull = (predicate: string): string | undefined =>
  /^\s*\(?(?:"?\w+"?\.)*"?(\w+)"?\s+is\s+not\s+null\)?\s*$/i.exec(predicate)?.[1]

const outlives: Rule = {
  name: 'outlives',
  reason: 'A foreign key would delete a row that must outlive the row that it names, or would prevent that deletion.',
  *check(table) {
    if (table.facts.outlives !== true) return
    for (const { label } of table.references) {
      yield {
        object: label,
        message: `${table.fullName} is declared with \`outlives: true\` and has the foreign key ${label}. Remove one of the two.`,
      }
    }
  },
}

export const referenceRules: readonly Rule[] = [
  missingReference,
  undeclaredTarget,
  compositeReference,
  deletion,
  attribution,
  referenceIndex,
  outlives,
]
