import { factsOf } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'
import { nameOf } from '../support/every-table.js'

/** What keeps a statement from running on a cluster that shards rows by organization, though a single server takes it. */
const refused: readonly (readonly [fault: string, form: RegExp])[] = [
  ['a sub-select behind in: the generic plan asks every shard', /\bin \(select\b/i],
  [
    'a clock inside of CASE or COALESCE of an update',
    /^(?=(?:with\b[^]*)?\bupdate\b)[^]*\b(?:case\b(?:(?!\bend\b)[^])*|coalesce\((?:[^()]|\([^()]*\))*)(?:now\(\)|_timestamp\(\))/i,
  ],
  ['a clock in the update of an upsert', /\bon conflict\b[^]*\bdo update\b[^]*(?:now\(\)|_timestamp\(\))/i],
  [
    'a sum of a moment inside of CASE of an update: it depends on the time zone',
    /^(?=(?:with\b[^]*)?\bupdate\b)[^]*\bcase\b(?:(?!\bend\b)[^])*\bclock\.now [+-]/i,
  ],
  [
    'a sub-select in the condition of an upsert',
    /\bdo update set\b(?:(?!\breturning\b)[^])*\bwhere\b(?:(?!\breturning\b)[^])*\(select\b/i,
  ],
  ['a sub-select in VALUES', /\bvalues \((?:(?!\breturning\b|\bon conflict\b)[^])*\(select\b/i],
  ['an element of a parameter in an update', /\bset\b[^]*\$\d+(?:::[\w.]+(?:\[\])?)?\)?\[(?!\])/i],
  [
    'a bulk insert without returning: it becomes a COPY',
    /\binsert into\b(?:(?!\breturning\b)[^])*\bselect\b(?:(?!\breturning\b)[^])*\bfrom\b(?:(?!\breturning\b)[^])*$/i,
  ],
  [
    'EXISTS over people in an update: the generic plan asks every shard',
    /\bupdate\b(?:(?!\breturning\b)[^])*\bexists \(select from "?platform"?\."?users\b/i,
  ],
  [
    'a function that reads tables, of a column beside a table of shards: it would run on a worker',
    /^(?=[^]*\bplatform\.is_live_member\((?!\$))[^]*\bplatform"?\."?(?:api_keys|user_sessions)\b/i,
  ],
]

const tables = /\b(?:from|join|into|update) ("platform"\."\w+")/gi
const owners = /"?org_id"?(?: = \$1\b|[,)])|"organizations" where "id" = \$1\b/g
/** They are the same on every node of a cluster. */
const catalogs = new Set(
  platformTables.filter((table) => factsOf(table)?.kind === 'catalog').map((table) => `"platform"."${nameOf(table)}"`),
)

/** What a cluster refuses in the text of any statement, in words. */
export const refusedForms = (text: string): string[] =>
  refused.filter(([, form]) => form.test(text)).map(([fault]) => fault)

/** The faults of a statement of one organization, in words. */
export function formFaults(text: string): string[] {
  const named = [...text.matchAll(tables)].filter(([, table]) => !catalogs.has(table ?? '')).length
  const owned = [...text.matchAll(owners)].length
  return [
    ...refusedForms(text),
    ...(owned < named ? [`${named} tables, of which ${owned} say whose rows are meant`] : []),
  ]
}
