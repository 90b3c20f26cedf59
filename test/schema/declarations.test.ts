import { pgSchema, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import { declareTable } from '../../src/schema/shared/kinds.js'

const contacts = () =>
  pgSchema('crm').table(
    'contacts',
    { orgId: uuid('org_id').notNull(), id: uuid('id').notNull(), fullName: text('full_name') },
    (t) => [primaryKey({ columns: [t.orgId, t.id] })],
  )

test.each(['personal', 'hidden'] as const)(
  'a name in %s that is no column is refused, since it would hide nothing',
  (list) => {
    const declare = (name: string) => () => {
      declareTable(contacts(), { kind: 'tenant', [list]: [name] })
    }
    expect(declare('full_name')).not.toThrow()
    expect(declare('fullName')).toThrow(
      new TypeError(`declareTable(contacts): ${list}: there is no column fullName; name columns as in SQL: full_name`),
    )
    expect(declare('email')).toThrow(`${list}: there is no column email; name columns as in SQL`)
  },
)
