import { describe, expect, test } from 'vitest'
import { ForbiddenError, InvalidCursorError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { AuditExportOptions } from '../../src/repositories/audit-logs.js'
import type { AuditEntry, NewAuditEntry } from '../../src/schema/audit-logs.js'
import type { Org } from '../../src/org.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const sql = <Row>(text: string, values: readonly unknown[] = []) => teams.database.admin.query<Row>(text, values)
const sent = { eventType: 'report.sent' }
const own = (team: Team, more?: object) => teams.tenancy.forOrg(team.id, more)

/** Only the events of the application: what repositories write is not looked at here. */
const ours = (entries: readonly AuditEntry[]) => entries.filter(({ eventType }) => eventType.startsWith('report.'))

describe('an event of the application', () => {
  test('has what was given, and is whole JSON', async () => {
    const { org } = await teams.newTeam()
    const given: NewAuditEntry = {
      eventType: 'report.sent',
      action: 'create',
      projectId: newId(),
      resourceType: 'reports',
      resourceId: '7',
      changes: { sent: [false, true] },
      metadata: { to: ['you'] },
      severity: 'warning',
    }
    const entry = await org.audit.record(given)
    expect(entry).toMatchObject({ ...given, orgId: org.id, seq: null, createdAt: expect.any(Date) as unknown })
    expect(await org.audit.get(entry.id)).toEqual(entry)
    expect(JSON.parse(JSON.stringify(entry))).toMatchObject({ ...given, createdAt: entry.createdAt.toISOString() })
    expect(Object.keys(entry)).not.toContain('hash')
  })

  test('says nothing more than it was given', async () => {
    const { org } = await teams.newTeam()
    expect(await org.audit.record(sent)).toMatchObject({
      action: 'other',
      severity: 'info',
      projectId: null,
      changes: null,
      metadata: null,
      resourceType: null,
    })
  })

  test('has the author and the request of the scope', async () => {
    const team = await teams.newTeam()
    const request = { id: 'r-1', ip: '2001:db8::1', userAgent: 'curl/8' }
    const entry = await own(team, { request }).audit.record(sent)
    expect(entry).toMatchObject({
      actorKind: 'system',
      actorLabel: 'backend',
      actorId: null,
      onBehalfOf: null,
      requestId: 'r-1',
      ipAddress: '2001:db8::1',
      userAgent: 'curl/8',
    })
    const job = await own(team, { actor: teams.tenancy.job('nightly') }).audit.record(sent)
    expect(job).toMatchObject({ actorKind: 'system', actorLabel: 'nightly', requestId: null })
    const person = await (await team.as(team.owner.userId)).audit.record(sent)
    expect(person).toMatchObject({ actorKind: 'user', actorId: team.owner.userId, actorLabel: null })
  })

  test('names a key, and whom it is made out to', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('admin')
    const { apiKey, token } = await team.org.apiKeys.create({ userId, name: 'ci', scopes: ['audit:write'] })
    const { org } = await teams.tenancy.authenticateApiKey(token)
    const entry = { actorKind: 'api_key', actorId: apiKey.id, actorLabel: 'ci', onBehalfOf: userId }
    expect(await org.audit.record(sent)).toMatchObject(entry)
  })

  test('names who acts in the name of a person, and why, whatever the metadata says', async () => {
    const team = await teams.newTeam()
    const supporter = newId()
    const until = new Date(Date.now() + 60_000)
    const actor = await team.org.actorFor(team.owner.userId, { by: supporter, reason: 'ticket 7', until })
    const metadata = { a: 1, impersonationReason: 'none' }
    const entry = await own(team, { actor }).audit.record({ ...sent, metadata })
    expect(entry).toMatchObject({
      actorId: supporter,
      onBehalfOf: team.owner.userId,
      metadata: { a: 1, impersonationReason: 'ticket 7' },
    })
    expect((await own(team, { actor }).audit.record(sent)).metadata).toEqual({ impersonationReason: 'ticket 7' })
  })

  test('takes no author, time or number from the caller', async () => {
    const { org } = await teams.newTeam()
    for (const field of ['actorId', 'actorKind', 'createdAt', 'seq', 'hash', 'prevHash', 'orgId', 'id', 'ipAddress']) {
      const refusal = org.audit.record({ ...sent, [field]: newId() })
      await expect(refusal).rejects.toEqual(new InvalidInputError(field, 'is not a field that can be given'))
    }
  })

  test('is written with its transaction, or not at all', async () => {
    const { org } = await teams.newTeam()
    const failed = org.transaction(async (inner) => {
      await inner.audit.record(sent)
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    expect(await org.audit.count(sent)).toBe(0)
    await org.batch((inner) => [inner.audit.record(sent), inner.audit.record(sent)])
    expect(await org.audit.count(sent)).toBe(2)
  })
})

/** So many entries, each a second after the one before, the first of them a day ago. */
async function recorded(team: Team, count: number): Promise<void> {
  await sql(
    `insert into platform.audit_logs (org_id, id, event_type, created_at, actor_id)
     select $1, gen_random_uuid(), 'report.' || n, now() - interval '1 day' + n * interval '1 second', $3
     from generate_series(1, $2::int) n`,
    [team.id, count, team.owner.userId],
  )
}
const number = (team: Team, events: readonly string[]) =>
  sql(
    `update platform.audit_logs set seq = n.seq from unnest($2::text[]) with ordinality n(event, seq)
     where org_id = $1 and event_type = n.event`,
    [team.id, events],
  )
const events = (entries: readonly AuditEntry[]) => entries.map(({ eventType }) => eventType)

describe('a list', () => {
  test('is newest first, whatever the ids, and goes page by page in both directions', async () => {
    const team = await teams.newTeam()
    await recorded(team, 5)
    const reports = { eventType: { prefix: 'report.' } }
    const first = await team.org.audit.list({ ...reports, limit: 2 })
    expect(events(first.items)).toEqual(['report.5', 'report.4'])
    const second = await team.org.audit.list({ ...reports, limit: 2, after: first.next })
    expect(events(second.items)).toEqual(['report.3', 'report.2'])
    expect(await team.org.audit.list({ ...reports, limit: 2, before: second.previous })).toMatchObject({
      items: first.items,
    })
    const all: AuditEntry[] = []
    for await (const entry of team.org.audit.stream({ ...reports, limit: 2 })) all.push(entry)
    expect(events(all)).toEqual(['report.5', 'report.4', 'report.3', 'report.2', 'report.1'])
    const oldest = await team.org.audit.list({ ...reports, orderBy: 'createdAt', limit: 1 })
    expect(events(oldest.items)).toEqual(['report.1'])
  })

  test('is filtered by the fields of an entry', async () => {
    const team = await teams.newTeam()
    await recorded(team, 3)
    const { items } = await team.org.audit.list({ actorId: team.owner.userId, eventType: { in: ['report.2', 'no'] } })
    expect(events(items)).toEqual(['report.2'])
    await expect(team.org.audit.list({ hash: new Uint8Array() } as object)).rejects.toThrow(InvalidInputError)
  })
})

describe('the feed', () => {
  test('has the sealed entries alone, in the order of their numbers', async () => {
    const team = await teams.newTeam()
    await recorded(team, 6)
    await number(team, ['report.3', 'report.1', 'report.2', 'report.5'])
    const { audit } = team.org
    const all = await audit.list({ afterSeq: 0 })
    expect(events(all.items)).toEqual(['report.3', 'report.1', 'report.2', 'report.5'])
    expect(all.items.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
    expect(events((await audit.list({ afterSeq: 2 })).items)).toEqual(['report.2', 'report.5'])
    expect((await audit.list({ afterSeq: 4 })).items).toEqual([])
  })

  test('goes on by the last number, or by a cursor', async () => {
    const team = await teams.newTeam()
    await recorded(team, 6)
    await number(team, ['report.6', 'report.5', 'report.4', 'report.3', 'report.2'])
    const first = await team.org.audit.list({ afterSeq: 1, limit: 2 })
    expect(events(first.items)).toEqual(['report.5', 'report.4'])
    const byNumber = await team.org.audit.list({ afterSeq: 3, limit: 2 })
    const byCursor = await team.org.audit.list({ afterSeq: 1, limit: 2, after: first.next })
    expect(byCursor.items).toEqual(byNumber.items)
    expect(events(byNumber.items)).toEqual(['report.3', 'report.2'])
    await expect(team.org.audit.list({ after: first.next })).rejects.toThrow(InvalidCursorError)
  })

  test('is filtered too', async () => {
    const team = await teams.newTeam()
    await recorded(team, 3)
    await number(team, ['report.3', 'report.1', 'report.2'])
    const filter = { afterSeq: 1, not: { eventType: 'report.2' }, and: [{ actorKind: 'system' as const }] }
    expect(events((await team.org.audit.list(filter)).items)).toEqual(['report.1'])
  })

  test.each([-1, 1.5, '1', Number.NaN, 2 ** 53, null, { gt: 1 }])('refuses %s for a number', async (afterSeq) => {
    const { org } = await teams.newTeam()
    const refusal = org.audit.list({ afterSeq } as object)
    await expect(refusal).rejects.toEqual(new InvalidInputError('afterSeq', 'must be the number of an entry, or 0'))
  })

  test('has no other order', async () => {
    const { org } = await teams.newTeam()
    await expect(org.audit.list({ afterSeq: 1, orderBy: 'createdAt' })).rejects.toThrow('orderBy: cannot be combined')
  })
})

const lines = async (org: Org, options?: AuditExportOptions) =>
  (await new Response(await org.audit.export(options)).text())
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AuditEntry)

describe('an export', () => {
  test('has a line for each entry, oldest first', async () => {
    const team = await teams.newTeam()
    await recorded(team, 250)
    const entry = await team.org.audit.record({ ...sent, metadata: { line: 'one\ntwo' } })
    const exported = ours(await lines(team.org))
    expect(exported).toHaveLength(251)
    expect(events(exported.slice(0, 2))).toEqual(['report.1', 'report.2'])
    expect(exported.at(-1)).toEqual(JSON.parse(JSON.stringify(entry)))
  })

  test('is itself in the log, with what was asked for, and not in the export', async () => {
    const team = await teams.newTeam()
    await recorded(team, 1)
    const org = await team.as(team.owner.userId)
    const from = '2020-01-01T00:00:00+01:00'
    const exported = await lines(org, { from, actorKind: 'user' })
    expect(events(exported)).not.toContain('audit_logs.export')
    const { items } = await org.audit.list({ eventType: 'audit_logs.export' })
    expect(items).toMatchObject([
      {
        actorId: team.owner.userId,
        action: 'other',
        resourceType: 'audit_logs',
        metadata: { from: '2019-12-31T23:00:00.000Z', filteredBy: ['actorKind'] },
      },
    ])
    expect(events(await lines(org))).toContain('audit_logs.export')
  })

  test('ends where it began, though the log grows meanwhile', async () => {
    const team = await teams.newTeam()
    await recorded(team, 150)
    const stream = await team.org.audit.export({ eventType: { prefix: 'report.' } })
    let text = ''
    for await (const chunk of stream) {
      text += new TextDecoder().decode(chunk)
      await sql(
        `insert into platform.audit_logs (org_id, id, event_type, created_at)
         values ($1, gen_random_uuid(), 'report.late', now() + interval '1 second')`,
        [team.id],
      )
    }
    expect(text).not.toContain('report.late')
    expect(text.split('\n')).toHaveLength(151)
  })

  test('is of a period, and filtered', async () => {
    const team = await teams.newTeam()
    await recorded(team, 5)
    const { items } = await team.org.audit.list({ eventType: { in: ['report.2', 'report.4'] }, orderBy: 'createdAt' })
    const [from, to] = items.map(({ createdAt }) => new Date(createdAt.getTime() + 1))
    expect(events(await lines(team.org, { from, to }))).toEqual(['report.3', 'report.4'])
    const one = await lines(team.org, { from: from?.toISOString(), to, eventType: 'report.4' })
    expect(events(one)).toEqual(['report.4'])
  })

  test('reads a page when it is asked for one, and no more', async () => {
    const team = await teams.newTeam()
    await recorded(team, 350)
    const reader = (await team.org.audit.export({ eventType: { prefix: 'report.' } })).getReader()
    const { value } = await reader.read()
    expect(new TextDecoder().decode(value).split('\n')).toHaveLength(101)
    await sql(`delete from platform.audit_logs where org_id = $1 and event_type > 'report.'`, [team.id])
    expect(await reader.read()).toEqual({ done: true, value: undefined })
  })

  test('needs a permission of its own, and no other', async () => {
    const team = await teams.newTeam()
    const manager = await team.as((await team.join('manager')).userId)
    await expect(manager.audit.export()).rejects.toEqual(new ForbiddenError('audit:export'))
    expect(await team.org.audit.count({ eventType: 'audit_logs.export' })).toBe(0)
    await team.org.roles.create({ key: 'auditor', name: 'Auditor', permissions: ['audit:export'] })
    const auditor = await team.as((await team.join('auditor')).userId)
    await recorded(team, 1)
    expect(ours(await lines(auditor))).toHaveLength(1)
    await expect(auditor.audit.list()).rejects.toEqual(new ForbiddenError('audit:read'))
  })

  test.each([
    ['from', { from: 'yesterday' }],
    ['to', { to: 7 }],
    ['colour', { colour: 'red' }],
  ])('refuses a wrong %s before it is recorded', async (field, options) => {
    const { org } = await teams.newTeam()
    await expect(org.audit.export(options as object)).rejects.toThrow(InvalidInputError)
    await expect(org.audit.export(options as object)).rejects.toThrow(field)
    expect(await org.audit.count({ eventType: 'audit_logs.export' })).toBe(0)
  })
})
