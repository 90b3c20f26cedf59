import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import type { Call } from '../../src/core/executor.js'
import { statement } from '../../src/core/statement.js'
import { newId } from '../../src/core/ids.js'
import type { Rules } from '../../src/core/rules.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { ScopedTable } from '../../src/core/scoped-table.js'
import { innerNames, withEntry } from '../../src/core/statements/audited.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { contextOf } from '../support/scope-context.js'
import { links, makeToyTables, notes } from '../support/toy-tables.js'
import { behindChange } from '../support/waiting.js'

const database = useDatabase()
beforeAll(() => makeToyTables(database.admin))

interface Note {
  readonly id: string
  readonly title: string
  readonly status: string
}
const anything = z.looseObject({})

/** An audit log as small as one can be: the event, and the row before and after. */
const audit: Rules['audit'] = ({ plan, event }, { statement: changed, values }): Call => {
  const { change } = changed
  const title = plan.byProperty.get('title')
  const old = change.verb === 'update' && title !== undefined ? [title] : []
  const before = {
    insert: 'null::jsonb',
    update: `jsonb_build_object('title', ${title === undefined ? 'null' : innerNames(plan).old(title)})`,
    delete: 'to_jsonb(changed)',
    select: 'null::jsonb',
    call: 'null::jsonb',
  }[change.verb]
  const entry = `insert into toys.entries (org_id, event, before, after)
    select $1, $${values.length + 1}, ${before}, to_jsonb(changed) from changed`
  return {
    statement: statement(withEntry(plan, change, old, entry), changed.effect),
    values: [...values, `${plan.resource}.${event}`],
  }
}

async function withNotes(work: (notes: ScopedTable<Note>, orgId: string, scope: DirectScope) => Promise<void>) {
  const executor = openNodePostgres({ pool: { connectionString: database.appUrl, max: 4 } })
  const orgId = await createOrganization(database.admin)
  const scope = new DirectScope(contextOf(orgId, { audit }), executor)
  try {
    await work(new ScopedTable<Note>(scope, notes), orgId, scope)
  } finally {
    await executor.close({ drain: 0 })
  }
}

const entriesOf = (orgId: string) =>
  database.admin.query<{ event: string; before: string | null; after: string | null }>(
    `select event, before ->> 'title' as before, after ->> 'title' as after from toys.entries where org_id = $1 order by ctid`,
    [orgId],
  )

test('each change writes its entry with the values before and after, in the same statement', () =>
  withNotes(async (notes, orgId) => {
    const { id } = await notes.insertRow(anything, { title: 'One', slug: 'one', code: 'c' })
    expect(await notes.updateRow(anything, id, { title: 'Two' })).toMatchObject({ id, title: 'Two' })
    await notes.updateRow(anything, id, { title: 'Three' }, { options: { revision: 2 } })
    expect(await notes.updateRows({ status: 'open' }, { title: 'Four' })).toBe(1)
    await notes.transitionRow(id, { verb: 'close', from: ['open'], to: 'closed' })
    await notes.hideRow(id)
    await notes.restoreRow(id)
    expect(await notes.deleteRow(id)).toMatchObject({ title: 'Four' })
    expect(await notes.insertRows(anything, [{ title: 'a' }, { title: 'b' }])).toHaveLength(2)
    expect(await notes.deleteRows({ title: { in: ['a', 'b'] } })).toBe(2)
    expect(await entriesOf(orgId)).toEqual([
      { event: 'notes.create', before: null, after: 'One' },
      { event: 'notes.update', before: 'One', after: 'Two' },
      { event: 'notes.update', before: 'Two', after: 'Three' },
      { event: 'notes.update', before: 'Three', after: 'Four' },
      { event: 'notes.close', before: 'Four', after: 'Four' },
      { event: 'notes.delete', before: 'Four', after: 'Four' },
      { event: 'notes.restore', before: 'Four', after: 'Four' },
      { event: 'notes.delete', before: 'Four', after: 'Four' },
      { event: 'notes.create', before: null, after: 'a' },
      { event: 'notes.create', before: null, after: 'b' },
      { event: 'notes.delete', before: 'a', after: 'a' },
      { event: 'notes.delete', before: 'b', after: 'b' },
    ])
  }))

test('a change that changes nothing writes no entry, and is told as without the audit log', () =>
  withNotes(async (notes, orgId) => {
    const { id } = await notes.insertRow(anything, { title: 'One' })
    await expect(notes.updateRow(anything, newId(), { title: 'Two' })).rejects.toThrow('notes: not found')
    await expect(notes.updateRow(anything, id, { title: 'Two' }, { options: { revision: 9 } })).rejects.toThrow(
      'changed',
    )
    await expect(notes.transitionRow(id, { verb: 'close', from: ['closed'], to: 'open' })).rejects.toThrow(
      'cannot close',
    )
    await expect(notes.deleteRow(newId())).rejects.toThrow('notes: not found')
    expect(await entriesOf(orgId)).toEqual([{ event: 'notes.create', before: null, after: 'One' }])
  }))

test('the value before is the one that was replaced, also when somebody else has just changed the row', () =>
  withNotes(async (notes, orgId) => {
    const { id } = await notes.insertRow(anything, { title: 'One' })
    await behindChange(
      database.admin,
      () => database.admin.query(`update toys.notes set title = 'Meanwhile' where id = $1`, [id]),
      () => notes.updateRow(anything, id, { title: 'Two' }),
    )
    expect((await entriesOf(orgId)).at(-1)).toEqual({ event: 'notes.update', before: 'Meanwhile', after: 'Two' })
  }))

test('a link between two rows is audited by its key', () =>
  withNotes(async (_, orgId, scope) => {
    const rows = new ScopedTable<{ fromId: string }>(scope, links)
    const schema = z.strictObject({ fromId: z.uuid(), toId: z.uuid() })
    const link = { fromId: newId(), toId: newId() }
    await rows.linkRow(schema, link)
    expect(await rows.unlinkRow(schema, link)).toBe(true)
    expect((await entriesOf(orgId)).map(({ event }) => event)).toEqual(['links.create', 'links.unlink'])
  }))
