import { pgTable, primaryKey, uuid } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import { checkTables, rules } from '../../src/lint/check-tables.js'
import * as schema from '../../src/schema/index.js'
import { id, timestamps } from '../../src/schema/shared/columns.js'
import { columnFaults } from './faults/columns.js'
import { exportFaults, soundExports } from './faults/exports.js'
import { bareTable, isolationFaults } from './faults/isolation.js'
import { keyFaults } from './faults/keys.js'
import { nameFaults } from './faults/names.js'
import { boundedDouble, predicateFaults, quotedWords } from './faults/predicates.js'
import { declared } from './faults/planted-fault.js'
import { referenceFaults } from './faults/references.js'
import * as ownTables from './own-tables.js'

const faults = [
  ...isolationFaults,
  ...keyFaults,
  ...referenceFaults,
  ...columnFaults,
  ...predicateFaults,
  ...nameFaults,
  ...exportFaults,
]

test('the library keeps its own conventions', () => {
  expect(checkTables(schema)).toEqual([])
})

test("a user's own tables keep them with the helpers alone", () => {
  expect(checkTables(ownTables)).toEqual([])
})

test.each(faults.map((one) => [one.rule, one.fault, one] as const))('%s: %s', (rule, _, { object, exports }) => {
  const findings = checkTables(exports)

  expect(findings.map((finding) => ({ rule: finding.rule, object: finding.object }))).toEqual([{ rule, object }])
  for (const { message, table } of findings) {
    expect(message).toContain(table)
    expect(message).not.toMatch(/undefined|\[object/)
  }
})

test('every rule has a fault that it finds, and a reason', () => {
  const names = rules.map(({ name }) => name)

  expect(new Set(faults.map(({ rule }) => rule))).toEqual(new Set(names))
  expect(new Set(names).size).toBe(names.length)
  for (const { reason } of rules) expect(reason).toMatch(/\.$/)
})

test('a table that was made without the helper has neither its foreign key nor row security', () => {
  expect(checkTables([bareTable]).map(({ rule }) => rule)).toEqual(['owner-reference', 'row-security'])
})

test('a message names the table, the column and the helper', () => {
  const [finding] = checkTables([bareTable])

  expect(finding).toEqual({
    rule: 'owner-reference',
    table: 'crm.notes',
    object: 'org_id',
    message:
      "crm.notes.org_id must refer to platform.organizations(id) on delete cascade. Add `...tenantTable('notes', t)`, or declare the table with `outlives: true`.",
  })
})

test('the helper of a message is the one that the kind of the table needs', () => {
  const devices = declared(
    pgTable('devices', { userId: uuid('user_id').notNull(), id: id(), ...timestamps() }, (t) => [
      primaryKey({ name: 'devices_pkey', columns: [t.userId, t.id] }),
    ]),
    { kind: 'user' },
  )
  const findings = checkTables([devices])

  expect(findings.map(({ table, rule }) => `${table} ${rule}`)).toEqual([
    'public.devices owner-reference',
    'public.devices row-security',
  ])
  for (const { message } of findings) expect(message).toContain("`...userTable('devices', t)`")
})

test('a foreign key that cannot be named comes with the one that can', () => {
  const unnamed = nameFaults.filter(({ object }) => object === 'the foreign key on (llm_id)')

  expect(unnamed.flatMap(({ exports }) => checkTables(exports)).map(({ message }) => message)).toEqual([
    'crm.notes: the foreign key on (llm_id) must be named notes_<what>_fkey, at most 55 characters. Use `foreignKey({ name, ... })`: `.references()` cannot be named.',
  ])
})

test('what is no table is named with its schema too', () => {
  const named = exportFaults.flatMap(({ exports }) => checkTables(exports)).map(({ table }) => table)

  expect(new Set(named)).toEqual(new Set(['crm.agent_names', 'shared', 'crm.colors', 'crm.numbers']))
})

test('a table counts once, however often it is exported', () => {
  expect(checkTables({ notes: bareTable, again: bareTable })).toEqual(checkTables([bareTable]))
})

test('rules can be left out by name', () => {
  expect(checkTables([bareTable], { except: ['owner-reference'] }).map(({ rule }) => rule)).toEqual(['row-security'])
})

test.each([
  ['a view with the rights of its reader', soundExports],
  ['quotes inside a word', quotedWords],
  ['a double with bounds', boundedDouble],
])('%s is sound', (_, exports) => {
  expect(checkTables(exports)).toEqual([])
})
