import { z } from 'zod'
import type { Executor } from '../../src/core/executor.js'
import { newId } from '../../src/core/ids.js'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { OnQuery } from '../../src/core/tracing.js'
import type { KeyProvider } from '../../src/core/sealing.js'
import { declare } from '../../src/declared.js'
import { openServers } from '../../src/open-servers.js'
import type { Row } from '../../src/schema/shared/rows.js'
import * as shape from '../../src/schema/shared/shapes.js'
import { Tenancy } from '../../src/tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import { contacts, type WatchedServer } from './watched-server.js'
import type { SecretMarks } from './secret-marks.js'
import type { Random } from './world.js'

const newContact = z.strictObject({
  name: shape.label(100),
  pin: shape.secret.nullish(),
  phone: shape.text(200).nullish(),
})
interface Contact extends Omit<Row<typeof contacts>, 'pin'> {}

/** A host's repository with a sealed and a personal column. */
export class Contacts extends ScopedRepository<Contact> {
  constructor(scope: Scope) {
    super(scope, contacts)
  }

  create = (values: object): Query<Contact> => this.insertRow(newContact, values)
  createMany = (values: readonly object[]): Query<Contact[]> => this.insertRows(newContact, values)
  update = (id: string, patch: object): Query<Contact> => this.updateRow(newContact.partial(), id, patch)
  rename = (phone: string, name: string): Query<number> =>
    this.updateRows({ or: [{ phone }, { phone: 'none' }] }, { name })
  remove = (phone: string): Query<number> => this.deleteRows({ phone })
  reveal = (id: string) => this.revealRow(id, ['pin'])
}

/** What is known of an organization. */
export interface Side {
  readonly id: string
  readonly ownerId: string
  readonly readerId: string
  readonly projects: string[]
  readonly contacts: { readonly id: string; readonly phone: string }[]
  readonly apiKeys: { readonly id: string; readonly token: string }[]
  readonly sessions: { readonly id: string; readonly token: string; readonly refreshToken: string }[]
  readonly invitations: { readonly id: string; readonly email: string; readonly token: string }[]
}

/** The pools of one process, with `debug` or without. */
export interface Process {
  readonly tenancy: Tenancy
  /** The same pools with another provider of keys and caches of its own. */
  with(provider: KeyProvider): Tenancy
}

export async function openProcess(
  server: WatchedServer,
  marks: SecretMarks,
  options: { debug: boolean; onQuery: OnQuery; statementTimeout?: number },
): Promise<Process> {
  const { debug, onQuery, statementTimeout } = options
  const declared = await declare(server.own)
  const pool = { max: 4, ...(statementTimeout !== undefined && { statement_timeout: statementTimeout }) }
  const { appUrl: url, systemUrl, own } = server
  // As `openTenancy` does it, with tokens that are noted when they are made.
  const { app, system } = await openServers({ url, systemUrl, pool, own, debug }, declared)
  const { tables, allPermissions } = declared
  const over = (executor: Executor, provider?: KeyProvider) =>
    new Tenancy(executor, marks.secrets(provider), { onQuery, debug, tables, allPermissions }, system)
  return { tenancy: over(app), with: (provider) => over(app, provider) }
}

export async function newSide(tenancy: Tenancy, server: WatchedServer): Promise<Side> {
  const key = newId()
  const [ownerId, readerId] = [await createUser(server.admin), await createUser(server.admin)]
  const { organization } = await tenancy.system({ actor: 'scan', reason: 'a test' }).organizations.provision({
    key,
    name: key,
    slug: `scan-${key}`,
    plan: 'tier_enterprise',
    owner: { userId: ownerId },
  })
  const { id } = organization
  await tenancy.forOrg(id).members.add({ userId: readerId, email: `${readerId}@example.com`, role: 'read_only' })
  return { id, ownerId, readerId, projects: [], contacts: [], apiKeys: [], sessions: [], invitations: [] }
}

/** What one operation has at hand. */
export interface Hand {
  readonly tenancy: Tenancy
  readonly process: Process
  /** Its statements are cancelled after a short time. */
  readonly impatient: Tenancy
  readonly server: WatchedServer
  readonly marks: SecretMarks
  readonly side: Side
  readonly random: Random
}
