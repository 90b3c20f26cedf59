import { expect, test } from 'vitest'
import { z } from 'zod'
import { ForbiddenError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { ciphertext } from '../../src/schema/shared/ciphertext.js'
import { id, orgId, platform, timestamps } from '../../src/schema/shared/columns.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { secret } from '../../src/schema/shared/shapes.js'
import { useVault } from '../support/use-vault.js'

const vaults = useVault()
const { teams } = vaults

// As in docs/encryption.md: the table is not audited.
const mailboxes = platform.table('mailboxes', {
  orgId: orgId(),
  id: id(),
  password: ciphertext('password'),
  ...timestamps(),
})
declareTable(mailboxes, { kind: 'tenant' })

class Mailboxes extends ScopedRepository<{ id: string }> {
  constructor(scope: Scope) {
    super(scope, mailboxes)
  }

  create = (values: object) => this.insertRow(z.strictObject({ password: secret }), values)
  reveal = (id: string) => this.revealRow(id, ['password'])
}

const entries = (orgId: string, event: string) =>
  teams.database.admin.query(
    `select action, resource_type, resource_id, project_id, metadata from platform.audit_logs where org_id = $1 and event_type = $2`,
    [orgId, event],
  )

test('a reveal is noted in the same round trip, also where the table is not audited, and not for a missing row', async () => {
  const calls: string[][] = []
  const tenancy = await vaults.open({
    onQuery: (event) => {
      if (event.kind === 'call') calls.push(event.statements.map(({ text }) => text))
    },
  })
  const { id: team } = await teams.newTeam()
  // Once the tenancy is open, which would refuse a table that it does not know.
  await teams.database.admin.query(
    `create table platform.mailboxes (org_id uuid not null, id uuid primary key, password bytea,
       created_at timestamptz not null default now(), updated_at timestamptz not null default now())`,
  )
  await teams.database.admin.query('grant select, insert on platform.mailboxes to tenantry_app')
  const rows = tenancy.forOrg(team).repository(Mailboxes)
  const { id } = await rows.create({ password: 'open sesame' })
  expect(await entries(team, 'mailboxes.create')).toEqual([])
  const before = calls.length
  expect((await rows.reveal(id)).password?.reveal()).toBe('open sesame')
  expect(calls.length - before).toBe(1)
  const entry = {
    action: 'other',
    resource_type: 'mailboxes',
    resource_id: id,
    project_id: null,
    metadata: { columns: ['password'] },
  }
  expect(await entries(team, 'mailboxes.reveal')).toEqual([entry])
  await expect(rows.reveal(newId())).rejects.toThrow(NotFoundError)
  expect(await entries(team, 'mailboxes.reveal')).toHaveLength(1)
  await teams.database.admin.query('drop table platform.mailboxes')
})

test('the keys of a project are noted by their names, and not where the permission is missing', async () => {
  const { team, org, projectIds, row } = await vaults.newVault()
  await org.projects.credentials.reveal(projectIds[0], ['anonKey', 'jwtSecret'])
  const [entry, ...more] = await entries(team.id, 'credentials.reveal')
  expect(entry).toMatchObject({
    resource_id: row.id,
    project_id: projectIds[0],
    metadata: { columns: ['anonKey', 'jwtSecret'] },
  })
  expect(more).toEqual([])
  const { userId } = await team.join('member')
  const asMember = await team.as(userId)
  await expect(asMember.projects.credentials.reveal(projectIds[0])).rejects.toThrow(ForbiddenError)
  await expect(org.projects.credentials.reveal(projectIds[1])).rejects.toThrow(NotFoundError)
  expect(await entries(team.id, 'credentials.reveal')).toHaveLength(1)
})
