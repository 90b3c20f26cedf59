import { hash } from 'node:crypto'
import {
  bigint,
  integer,
  json,
  jsonb,
  numeric,
  pgSchema,
  point,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { ConflictError, DefinitionError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { DirectScope } from '../../src/core/scopes/direct-scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Scope } from '../../src/core/scope.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { auditTrail } from '../../src/operations/audit-trail.js'
import { Agents } from '../../src/repositories/agents.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { entriesOf } from '../support/audited-rows.js'
import { recording } from '../support/recording-executor.js'
import { contextOf } from '../support/scope-context.js'
import { newKey, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = () => teams.database.admin
const agent = (username: string) => ({ name: 'Ada', username })
const newestOf = async (orgId: string) => (await entriesOf(admin(), orgId)).at(-1)
const entriesAfter = async (team: Team, work: () => PromiseLike<unknown>) => {
  const before = (await entriesOf(admin(), team.id)).length
  await work()
  return (await entriesOf(admin(), team.id)).slice(before)
}

test('a lone write of an audited table is one round trip with one statement', async () => {
  const { executor, log } = recording(openNodePostgres({ pool: { connectionString: teams.database.appUrl, max: 1 } }))
  onTestFinished(() => executor.close({ drain: 0 }))
  const orgId = await createOrganization(admin())
  const agents = new Agents(new DirectScope(contextOf(orgId, { audit: auditTrail }), executor))
  const { id } = await agents.create(agent('ada'))
  await agents.update(id, { name: 'Eve' })
  await agents.delete(id)
  expect(log).toHaveLength(3)
  const events = (await entriesOf(admin(), orgId)).map(({ event_type: event }) => event)
  expect(events).toEqual(['agents.create', 'agents.update', 'agents.delete'])
})

test('the change and its entry take effect together: without the one there is not the other', async () => {
  const team = await teams.newTeam()
  const { id } = await team.org.agents.create(agent('ada'))
  await admin().query(
    `alter table platform.audit_logs add constraint refused check (org_id <> '${team.id}' or event_type <> 'agents.update')`,
  )
  try {
    await expect(team.org.agents.update(id, { name: 'Eve' })).rejects.toThrow()
  } finally {
    await admin().query('alter table platform.audit_logs drop constraint refused')
  }
  expect((await team.org.agents.get(id)).name).toBe('Ada')
  expect(
    await entriesAfter(team, () => expect(team.org.agents.create(agent('ada'))).rejects.toThrow(ConflictError)),
  ).toEqual([])
})

describe('the actor', () => {
  test('is the person, by their id and without their name', async () => {
    const team = await teams.newTeam()
    await (await team.as(team.owner.userId)).agents.create(agent('ada'))
    const { userId } = team.owner
    expect(await newestOf(team.id)).toMatchObject({
      actor_kind: 'user',
      actor_id: userId,
      actor_label: null,
      on_behalf_of: null,
    })
  })

  test('is the key, by its name, for its person of record', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team)
    const { org } = await teams.tenancy.authenticateApiKey(token)
    await org.agents.create(agent('ada'))
    const of = { actor_kind: 'api_key', actor_id: apiKey.id, actor_label: apiKey.name, on_behalf_of: apiKey.userId }
    expect(await newestOf(team.id)).toMatchObject(of)
  })

  test('is whoever acts in the name of a person, with the reason', async () => {
    const team = await teams.newTeam()
    const by = await teams.newUser()
    const until = new Date(Date.now() + 60_000)
    const actor = await team.org.actorFor(team.owner.userId, { by, reason: 'ticket 7', until })
    await teams.tenancy.forOrg(team.id, { actor }).agents.create(agent('ada'))
    const of = {
      actor_kind: 'user',
      actor_id: by,
      on_behalf_of: team.owner.userId,
      metadata: { impersonationReason: 'ticket 7' },
    }
    expect(await newestOf(team.id)).toMatchObject(of)
  })

  test('is a job by its name, and else the backend', async () => {
    const team = await teams.newTeam()
    await teams.tenancy.forOrg(team.id, { actor: teams.tenancy.job('nightly') }).agents.create(agent('ada'))
    expect(await newestOf(team.id)).toMatchObject({ actor_kind: 'system', actor_label: 'nightly' })
    await team.org.agents.create(agent('eve'))
    expect(await newestOf(team.id)).toMatchObject({ actor_kind: 'system', actor_label: 'backend' })
  })

  test('is the person who accepts an invitation, and the one who leaves', async () => {
    const team = await teams.newTeam()
    const email = `${newId()}@example.com`
    const userId = await teams.newUser({ email })
    const { token } = await team.org.invitations.create({ email, role: 'member' })
    const person = teams.tenancy.forUser(userId, { request: { id: 'r-1' } })
    const accepted = await entriesAfter(team, () => person.invitations.accept(token))
    expect(accepted.map(({ event_type: event }) => event)).toEqual([
      'organization_invitations.accept',
      'organization_members.add',
    ])
    const left = await entriesAfter(team, () => person.organizations.leave(team.id))
    expect(left.map(({ event_type: event }) => event)).toEqual(['organization_members.remove'])
    for (const entry of [...accepted, ...left])
      expect(entry).toMatchObject({ actor_kind: 'user', actor_id: userId, request_id: 'r-1' })
  })
})

describe('an operation of the system', () => {
  const bySystem = { actor_kind: 'system', actor_label: 'system' }

  test('is in the log of the organization', async () => {
    const team = await teams.newTeam()
    const provisioned = await entriesOf(admin(), team.id)
    expect(provisioned.map(({ event_type: event }) => event)).toEqual([
      'organizations.provision',
      'org_keys.create',
      'roles.create',
      'role_permissions.create',
      'organization_members.create',
      'subscriptions.create',
    ])
    const { organizations } = teams.system()
    const entries = await entriesAfter(team, async () => {
      await organizations.suspend(team.id, 'unpaid')
      await organizations.reactivate(team.id)
      await organizations.setUserManagement(team.id, false)
      await organizations.delete(team.id)
      await organizations.restore(team.id)
    })
    expect(entries.map(({ event_type: event }) => event)).toEqual(
      ['suspend', 'reactivate', 'setUserManagement', 'delete', 'restore'].map((verb) => `organizations.${verb}`),
    )
    expect(entries[0]?.changes).toMatchObject({ status: { old: 'active', new: 'suspended' } })
    for (const entry of [...provisioned, ...entries]) expect(entry).toMatchObject({ ...bySystem, actor_id: null })
  })

  test('about a person is in the log of each of their organizations', async () => {
    const [one, other] = [await teams.newTeam(), await teams.newTeam()]
    const { userId } = await one.join('member')
    await other.org.members.add({ userId, email: `${userId}@example.com`, role: 'member' })
    const before = (await entriesOf(admin(), other.id)).length
    const entries = await entriesAfter(one, () => teams.system().users.suspend(userId))
    const theirs = (await entriesOf(admin(), other.id)).slice(before)
    for (const all of [entries, theirs]) {
      expect(all).toMatchObject([
        { ...bySystem, event_type: 'organization_members.endAccess', changes: { authEpoch: { old: 0, new: 1 } } },
      ])
    }
    expect(entries[0]?.resource_id).not.toBe(theirs[0]?.resource_id)
  })

  test('that erases a person leaves nothing of them but ids', async () => {
    const team = await teams.newTeam()
    const email = `erased-${newId()}@example.com`
    const userId = await teams.newUser({ email })
    const { id } = await team.org.members.add({ userId, email, displayName: 'Erika Erased', role: 'member' })
    await team.org.members.update(id, { displayName: 'Erika E.' })
    await team.org.invitations.create({ email: `also-${email}`, role: 'member' })
    const erased = await entriesAfter(team, () => teams.system().users.erase(userId))
    expect(erased.map(({ event_type: event }) => event)).toContain('organization_members.remove')
    const all = await admin().query<{ entry: string }>(
      'select t::text as entry from platform.audit_logs t where org_id = $1',
      [team.id],
    )
    expect(all.length).toBeGreaterThan(5)
    expect(all.filter(({ entry }) => /erased|Erika/i.test(entry))).toEqual([])
  })
})

const ledger = pgSchema('ledgers').table(
  'ledger',
  {
    orgId: uuid('org_id').notNull(),
    id: uuid('id').notNull(),
    code: text('code').notNull(),
    note: text('note'),
    owner: text('owner'),
    amount: numeric('amount', { precision: 30, scale: 6 }),
    count: bigint('count', { mode: 'bigint' }),
    size: integer('size').notNull().default(0),
    settings: jsonb('settings'),
    raw: json('raw'),
    tags: text('tags').array(),
    place: point('place'),
    at: timestamp('at', { withTimezone: true }),
  },
  (t) => [
    primaryKey({ name: 'ledger_pkey', columns: [t.orgId, t.id] }),
    uniqueIndex('ledger_code_key').on(t.orgId, t.code),
  ],
)
declareTable(ledger, { kind: 'tenant', audited: true, personal: ['owner'] })

interface Ledger {
  readonly id: string
  readonly code: string
  readonly size: number
}
const anything = z.looseObject({})

class Ledgers extends ScopedRepository<Ledger> {
  constructor(scope: Scope) {
    super(scope, ledger)
  }
  create = (values: object) => this.insertRow(anything, values)
  createOnce = (values: object) => this.insertRow(anything, values, { existing: 'ledger_code_key' })
  createMany = (rows: readonly object[]) => this.insertRows(anything, rows)
  put = (values: object) => this.putRow(anything as never, values, 'ledger_code_key')
  update = (id: string, patch: object) => this.updateRow(anything, id, patch)
  updateWhere = (filter: object, values: object) => this.updateRows(filter, values as never)
  deleteWhere = (filter: object) => this.deleteRows(filter)
  delete = (id: string) => this.deleteRow(id)
  /** By the clock of the database, with a value too many where `values` has three. */
  grow(...values: readonly unknown[]) {
    const statement = this.change('grow', ({ sql, selected, owned }) => ({
      verb: 'update',
      ctes: [],
      head: `update ${sql} set "size" = "size" + growth.step`,
      // A `$9` in a literal is no parameter.
      from: `(select $2::int as step, '$9' as price) as growth`,
      where: `${owned} and "size" < growth.step`,
      returning: selected,
    }))
    return this.runRows(statement, () => values)
  }
}

describe('an entry', () => {
  const executor = () => openNodePostgres({ pool: { connectionString: teams.database.appUrl, max: 2 } })

  beforeAll(async () => {
    for (const statement of [
      'create schema ledgers',
      'grant usage on schema ledgers to tenantry_app',
      `create table ledgers.ledger (org_id uuid not null, id uuid not null, code text not null, note text, owner text, amount numeric(30,6),
         count bigint, size int not null default 0, settings jsonb, raw json, tags text[], place point, at timestamptz,
         constraint ledger_pkey primary key (org_id, id))`,
      'create unique index ledger_code_key on ledgers.ledger (org_id, code)',
      'alter table ledgers.ledger enable row level security',
      'create policy org_isolation on ledgers.ledger to tenantry_app using (org_id = platform.current_org())',
      'grant select, insert, update, delete on ledgers.ledger to tenantry_app',
    ])
      await admin().query(statement)
  })

  async function withLedgers(work: (all: Ledgers, orgId: string) => Promise<void>) {
    const orgId = await createOrganization(admin())
    const open = executor()
    const scope = new DirectScope(contextOf(orgId, { audit: auditTrail }), open)
    await work(new Ledgers(scope), orgId)
    await open.close({ drain: 0 })
  }

  test('tells every kind of value, and numbers of any size exactly', () =>
    withLedgers(async (ledgers, orgId) => {
      const at = new Date('2026-01-02T03:04:05.678Z')
      const values = {
        amount: '123456789012345678.123456',
        count: 9007199254740993n,
        settings: { a: null, b: [1, { c: null }] },
        raw: { z: 1, a: 2 },
        tags: ['x', 'y'],
        place: [1, 2],
        at,
      }
      const { id } = await ledgers.create({ code: 'one', ...values })
      expect(await newestOf(orgId)).toMatchObject({
        event_type: 'ledger.create',
        action: 'create',
        resource_type: 'ledger',
        resource_id: id,
        changes: {
          code: { new: 'one' },
          size: { new: 0 },
          amount: { new: values.amount },
          count: { new: '9007199254740993' },
          settings: { new: values.settings },
          raw: { new: values.raw },
          tags: { new: ['x', 'y'] },
          place: { new: '(1,2)' },
        },
      })
      await ledgers.update(id, { ...values, count: 1n, raw: { z: 1, a: 3 }, place: [1, 3], tags: null })
      expect((await newestOf(orgId))?.changes).toEqual({
        count: { old: '9007199254740993', new: '1' },
        raw: { old: { z: 1, a: 2 }, new: { z: 1, a: 3 } },
        place: { old: '(1,2)', new: '(1,3)' },
        tags: { old: ['x', 'y'], new: null },
      })
    }))

  test('says of personal values only that they were changed', () =>
    withLedgers(async (ledgers, orgId) => {
      const { id } = await ledgers.create({ code: 'one', owner: 'Ada' })
      await ledgers.update(id, { owner: 'Eve', note: 'n' })
      await ledgers.update(id, { owner: 'Eve' })
      expect((await entriesOf(admin(), orgId)).map(({ changes }) => changes)).toEqual([
        { code: { new: 'one' }, owner: 'changed', size: { new: 0 } },
        { owner: 'changed', note: { old: null, new: 'n' } },
        {},
      ])
    }))

  test('tells a value of more than 2 KB by its length and its digest', () =>
    withLedgers(async (ledgers, orgId) => {
      const { id } = await ledgers.create({ code: 'one', note: 'x'.repeat(2048) })
      expect((await newestOf(orgId))?.changes).toMatchObject({ note: { new: 'x'.repeat(2048) } })
      await ledgers.update(id, { note: 'é'.repeat(1025), settings: { text: 'y'.repeat(3000) } })
      const sha256 = expect.stringMatching(/^[0-9a-f]{64}$/) as string
      expect((await newestOf(orgId))?.changes).toEqual({
        note: { old: 'x'.repeat(2048), new: { length: 2050, sha256 } },
        settings: { old: null, new: { length: 3012, sha256 } },
      })
    }))

  test('of a row that is put says whether it was there', () =>
    withLedgers(async (ledgers, orgId) => {
      await ledgers.put({ code: 'one', size: 1 })
      await ledgers.put({ code: 'one', size: 2 })
      const [made, changed] = await entriesOf(admin(), orgId)
      expect(made).toMatchObject({
        event_type: 'ledger.put',
        action: 'create',
        changes: { code: { new: 'one' }, size: { new: 1 } },
      })
      expect(changed).toMatchObject({ event_type: 'ledger.put', action: 'update', resource_id: made?.resource_id })
      expect(changed?.changes).toEqual({ size: { old: 1, new: 2 } })
    }))

  test('is not written for a row that was there and is only returned', () =>
    withLedgers(async (ledgers, orgId) => {
      const { id } = await ledgers.createOnce({ code: 'one' })
      expect((await ledgers.createOnce({ code: 'one' })).id).toBe(id)
      expect(await entriesOf(admin(), orgId)).toHaveLength(1)
    }))

  test('of many rows has their number and at most 1,000 of their ids, and what the call asked for', () =>
    withLedgers(async (ledgers, orgId) => {
      const rows = await ledgers.createMany(
        Array.from({ length: 1001 }, (_, place) => ({ code: `c${place}`, owner: 'Ada' })),
      )
      const made = await newestOf(orgId)
      expect(made).toMatchObject({ action: 'create', resource_id: null, changes: null, metadata: { count: 1001 } })
      expect(new Set(made?.metadata?.ids)).toEqual(new Set(rows.slice(0, 1000).map(({ id }) => id)))
      await ledgers.updateWhere({ code: { in: ['c1', 'c2'] }, owner: 'Ada' }, { size: 5 })
      expect(await newestOf(orgId)).toMatchObject({
        action: 'update',
        metadata: {
          count: 2,
          ids: expect.arrayContaining([]) as string[],
          filter: { code: { in: ['c1', 'c2'] }, owner: 'personal' },
        },
      })
      await ledgers.deleteWhere({ code: 'c3' })
      const one = await newestOf(orgId)
      expect(one).toMatchObject({ action: 'delete', resource_id: rows[3]?.id, changes: { code: { old: 'c3' } } })
      expect(one?.metadata).toEqual({ filter: { code: 'c3' } })
      await ledgers.deleteWhere({ code: 'nothing' })
      expect(await newestOf(orgId)).toEqual(one)
    }))

  test('tells a filter of more than 2 KB by its length in bytes and its digest', () =>
    withLedgers(async (ledgers, orgId) => {
      await ledgers.createMany([{ code: 'é' }, { code: 'two' }])
      const filter = { code: { in: ['two', 'é'.repeat(1100)] } }
      await ledgers.updateWhere(filter, { size: 5 })
      const text = JSON.stringify(filter)
      const told = { length: Buffer.byteLength(text), sha256: hash('sha256', text) }
      expect((await newestOf(orgId))?.metadata).toEqual({ filter: told })
    }))

  test('tells of the filter that was carried out, which is read once', () =>
    withLedgers(async (ledgers, orgId) => {
      await ledgers.createMany([{ code: 'one' }, { code: 'two' }])
      const read = vi.fn<() => string>(() => expect.unreachable()).mockReturnValueOnce('two')
      await ledgers.updateWhere(Object.defineProperty({}, 'code', { get: read, enumerable: true }), { size: 5 })
      expect(await newestOf(orgId)).toMatchObject({ action: 'update', metadata: { filter: { code: 'two' } } })
    }))

  test('is written for a statement of a repository’s own, with what it reads besides the table', () =>
    withLedgers(async (ledgers, orgId) => {
      const [one, two] = await ledgers.createMany([{ code: 'one' }, { code: 'two' }])
      await ledgers.update(two?.id ?? '', { size: 9 })
      expect(await ledgers.grow(7)).toMatchObject([{ size: 7 }])
      expect(await newestOf(orgId)).toMatchObject({
        event_type: 'ledger.grow',
        action: 'update',
        resource_id: one?.id,
        changes: { size: { old: 0, new: 7 } },
      })
    }))

  test('refuses a statement with a wrong number of values by its name: without an entry it could take effect', () =>
    withLedgers(async (ledgers, orgId) => {
      await ledgers.create({ code: 'one' })
      const refused = 'Ledgers: the statement grow has 2 parameters and was given'
      await expect(ledgers.grow(7, 8)).rejects.toThrow(new DefinitionError(`${refused} 3 values`))
      expect(await entriesOf(admin(), orgId)).toHaveLength(1)
    }))
})
