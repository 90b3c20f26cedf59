import { z } from 'zod'
import { ConflictError, NotFoundError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { ChangeText } from '../core/statements/change-text.js'
import type { ListOptions, PageContent, PageOf } from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { unguarded } from '../core/statements/updates.js'
import type { TablePlan } from '../core/statements/table-plan.js'
import { parseInput, readOptions } from '../core/values.js'
import { apiKeys } from '../schema/api-keys.js'
import { type Invitation, organizationInvitations } from '../schema/invitations.js'
import { organizationMembers } from '../schema/members.js'
import { userSessions } from '../schema/sessions.js'
import * as shape from '../schema/shared/shapes.js'
import { isLivePerson, newUser, type User, users } from '../schema/users.js'
import { noteFor } from './my-audit-log.js'
import { revokeInvitations } from './revoke-invitations.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

/** A person after a change, and the organizations that have no active owner any more because of it. */
export interface ChangedPerson {
  readonly user: User
  /** Ids of organizations. Empty unless `force` was given. */
  readonly withoutOwner: readonly string[]
}

export interface ForceOption {
  /** Also when the person is the last active owner of an organization. */
  readonly force?: boolean | undefined
}

/** The people, for whoever runs the platform. Each call is recorded in `system_audit_logs`, and each change in `user_audit_logs`. */
export class Users {
  constructor(private readonly work: SystemWork) {}

  find(id: string): Promise<User | undefined> {
    return this.read('find', (rows) => rows.find(id))
  }

  /** The live person with that address. */
  findByEmail(email: string): Promise<User | undefined> {
    return this.read('findByEmail', (rows) => rows.findRow({ email: parseInput(address, { email }).email }))
  }

  /** By the host's own id for this person. */
  findByExternalId(externalId: string): Promise<User | undefined> {
    return this.read('findByExternalId', (rows) => rows.findRow({ externalId }))
  }

  list<Name extends Field<User> = Field<User>, Total extends boolean = false>(
    options?: ListOptions<User> & PageContent<Name, Total>,
  ): Promise<PageOf<Selected<User, Name>, Total>> {
    return this.read('list', (rows) => rows.list(options))
  }

  /** The host has seen that the address is the person's. */
  confirmEmail(id: string): Promise<User> {
    return this.change('confirmEmail', id, ({ rows }) =>
      rows.guardedRow(
        'confirmEmail',
        id,
        unguarded('users', `"email_confirmed_at" = least("email_confirmed_at", now())`),
        () => [],
      ),
    )
  }

  /**
   * Sets a confirmed address. Memberships with the old address get the new one, unless another member of that organization has it:
   * `keptIn` are the ids of those organizations.
   */
  changeEmail(id: string, email: string): Promise<{ readonly user: User; readonly keptIn: readonly string[] }> {
    return this.change('changeEmail', id, async ({ rows, scope, user: before }) => {
      const given = parseInput(address, { email })
      const set = `"email" = $3::text, "email_confirmed_at" = now()`
      const user = await rows.guardedRow('changeEmail', id, unguarded('users', set), () => [given.email])
      const keptIn = await carryAddress(scope, id, before.email, given.email)
      return { user, keptIn }
    })
  }

  /** The host's own id for the person, such as that of an auth provider. Throws ConflictError when another person has it. */
  setExternalId(id: string, externalId: string | null): Promise<User> {
    return this.change('setExternalId', id, ({ rows }) => rows.updateRow(hostId, id, { externalId }))
  }

  /** For hosts that sign people in themselves. The hash is never in a row, and the application's login cannot read it. */
  setCredentials(
    id: string,
    credentials: { readonly passwordHash?: string | null; readonly mfaEnabled?: boolean },
  ): Promise<User> {
    return this.change('setCredentials', id, ({ rows }) => {
      const given = parseInput(newCredentials, credentials)
      return rows.updateRow(shape.noInput, id, {}, { managed: given })
    })
  }

  /** Null for a person without one. Throws NotFoundError for nobody. */
  async passwordHash(id: string): Promise<string | null> {
    return operate(this.work, 'users.passwordHash', { kind: 'user', id: parseId(id) }, (scope) => {
      const rows = new ScopedTable<User>(scope, users)
      const hash = ownStatement(
        rows.plan,
        Users,
        'password hash',
        false,
        ({ sql, visible }) => `select "password_hash" from ${sql} where ${visible}`,
      )
      return rows.run(
        hash,
        () => [],
        ({ rows: [row] }) => {
          if (row === undefined) throw new NotFoundError('users')
          return row[0] as string | null
        },
      )
    })
  }

  /** Ends every session and every key of the person. Throws ConflictError for the last active owner of an organization. */
  suspend(id: string, options?: ForceOption): Promise<ChangedPerson> {
    return this.end('suspend', id, options, `"status" = 'suspended'`)
  }

  /**
   * Until that moment, by the clock of the database, the person can neither sign in nor act. Every session and key ends for good. Unlike
   * `suspend` it does not refuse the last active owner of an organization: see `withoutOwner`.
   */
  ban(id: string, until: Date): Promise<ChangedPerson> {
    return this.end('ban', id, { force: true }, `"banned_until" = $3::timestamptz`, () => [
      parseInput(ban, { until }).until.toISOString(),
    ])
  }

  /** Ends a suspension and a ban. Sessions and keys stay ended. */
  reactivate(id: string): Promise<User> {
    const set = `"status" = 'active', "banned_until" = null`
    return this.change('reactivate', id, ({ rows }) =>
      rows.guardedRow('reactivate', id, unguarded('users', set), () => []),
    )
  }

  /** Hides the person. `restore` brings them back with their memberships. */
  delete(id: string, options?: ForceOption): Promise<ChangedPerson> {
    return this.end('delete', id, options, `"deleted_at" = now()`)
  }

  /** Throws ConflictError when somebody else has taken the address, the username or the external id. */
  restore(id: string): Promise<User> {
    return this.operation('restore', id, async (scope) => {
      const user = await new ScopedTable<User>(scope, users).restoreRow(id)
      await noteFor(scope, 'system.restore')
      return user
    })
  }

  /**
   * Removes the person for good: keys, memberships, invitations to their address, sessions, and the row itself. What they made stays,
   * without them. Returns the organizations that have no active owner any more, which needs `force`.
   */
  erase(id: string, options?: ForceOption): Promise<readonly string[]> {
    return this.operation('erase', id, async (scope) => {
      const { email, isConfirmed } = await holdPerson(scope, id)
      const withoutOwner = await ownedAlone(scope, id, options, { deletedToo: true })
      await removeWhere(scope, apiKeys, '"user_id"', id)
      // Without their inviter, who is checked, anybody could accept them.
      await revokeInvitations(allRows<Invitation>(scope, organizationInvitations), 'of an inviter', id)
      await removeWhere(scope, organizationMembers, '"user_id"', id)
      // Invitations to an address that the person has not confirmed may be for somebody else.
      if (isConfirmed && !(await isAnothers(scope, id, email)))
        await removeWhere(scope, organizationInvitations, '"email"', email)
      await removeWhere(scope, users, '"id"', id)
      return withoutOwner
    })
  }

  private read<T>(name: string, ask: (rows: ScopedTable<User>) => Query<T>): Promise<T> {
    return operate(this.work, `users.${name}`, undefined, (scope) => ask(allRows<User>(scope, users)))
  }

  private async operation<T>(name: string, id: string, work: (scope: Scope) => Promise<T>): Promise<T> {
    return operate(this.work, `users.${name}`, { kind: 'user', id: parseId(id) }, work)
  }

  /** Locks the person, and notes the change in their own log. */
  private change<T>(
    name: string,
    id: string,
    work: (one: { rows: ScopedTable<User>; scope: Scope; user: User }) => Promise<T>,
  ): Promise<T> {
    return this.operation(name, id, async (scope) => {
      const rows = new ScopedTable<User>(scope, users)
      const user = await rows.lockRow(id)
      const result = await work({ rows, scope, user })
      await noteFor(scope, `system.${name}`)
      return result
    })
  }

  private end(
    name: string,
    id: string,
    options: ForceOption | undefined,
    set: string,
    values: () => readonly unknown[] = () => [],
  ): Promise<ChangedPerson> {
    return this.operation(name, id, async (scope) => {
      await holdPerson(scope, id)
      const withoutOwner = await ownedAlone(scope, id, options)
      const user = await new ScopedTable<User>(scope, users).guardedRow(name, id, unguarded('users', set), values)
      await endEverything(scope, id)
      await noteFor(scope, `system.${name}`)
      return { user, withoutOwner }
    })
  }
}
const address = z.strictObject({ email: shape.email })
const ban = z.strictObject({ until: shape.instant })
const hostId = newUser.pick({ externalId: true })
const newCredentials = z.strictObject({
  passwordHash: shape.text(1000).min(1).nullish(),
  mfaEnabled: z.boolean().optional(),
})

/** Whether the address of a deleted person belongs to somebody else by now. */
async function isAnothers(scope: Scope, id: string, email: string): Promise<boolean> {
  const holder = await allRows<User>(scope, users).findRow({ email })
  return holder !== undefined && holder.id !== id
}

interface HeldPerson {
  readonly email: string
  readonly isConfirmed: boolean
}

/**
 * Locks the person, deleted or not, and the organizations of their memberships. Until the operation ends nobody makes the person an
 * owner or a member, takes another owner away from these organizations, or starts a session. The organizations are locked first, in
 * the order of their ids, since whoever changes members holds one of them when they wait for a person; a second time, for the
 * memberships that came about until the person was locked.
 */
async function holdPerson(scope: Scope, id: string): Promise<HeldPerson> {
  await holdOrganizations(scope, id)
  const rows = new ScopedTable<User>(scope, users)
  const lock = ownStatement(
    rows.plan,
    holdPerson,
    'hold',
    false,
    ({ sql, owned }: TablePlan) =>
      `select "email", "email_confirmed_at" is not null from ${sql} where ${owned} for update`,
  )
  const person = await rows.run(
    lock,
    () => [],
    ({ rows: [row] }) => row as [string, boolean] | undefined,
  )
  if (person === undefined) throw new NotFoundError('users')
  await holdOrganizations(scope, id)
  const [email, isConfirmed] = person
  return { email, isConfirmed }
}

function holdOrganizations(scope: Scope, id: string): Query<void> {
  const members = allRows<object>(scope, organizationMembers)
  const lock = ownStatement(
    members.plan,
    holdOrganizations,
    'hold',
    false,
    ({ sql }) =>
      `select from platform.organizations o where o.id = any(array(select "org_id" from ${sql} where "user_id" = $1 and "deleted_at" is null))
       order by o.id for no key update`,
  )
  return members.run(
    lock,
    () => [id],
    () => undefined,
  )
}

/** The organizations of which the person is the only active owner. The deleted ones count where that cannot be undone. */
async function ownedAlone(
  scope: Scope,
  id: string,
  options: ForceOption | undefined,
  { deletedToo = false } = {},
): Promise<readonly string[]> {
  const { force } = readOptions(options, ['force'])
  const members = allRows<object>(scope, organizationMembers)
  const alone = ownStatement(
    members.plan,
    ownedAlone,
    'alone',
    false,
    (plan) => `select m."org_id" from ${plan.as('m').sql}
      join platform.organizations o on o.id = m.org_id and (o.deleted_at is null or $2)
      where m."user_id" = $1 and m."role" = 'owner' and m."status" = 'active' and m."deleted_at" is null
        and not exists (
          select from ${plan.as('x').sql} join platform.users u on u.id = x."user_id" and u.kind = 'person' and ${isLivePerson('u')}
          where x."org_id" = m."org_id" and x."user_id" <> $1 and x."role" = 'owner' and x."status" = 'active'
            and x."deleted_at" is null
        )
      order by m."org_id"`,
  )
  const found = await members.run(
    alone,
    () => [id, deletedToo],
    ({ rows }) => rows.map(([org]) => org as string),
  )
  if (found.length === 0 || force === true) return found
  const count = found.length === 1 ? 'an organization' : `${found.length} organizations`
  throw new ConflictError(
    'users',
    [],
    `users: this person is the last active owner of ${count}; transfer the ownership first, or pass force: true`,
  )
}

/** Sessions are revoked. Keys and the sessions' choice of an organization end with the epoch of each membership. */
async function endEverything(scope: Scope, id: string): Promise<void> {
  await changeRows(
    scope,
    userSessions,
    'end',
    ({ sql }) => ({
      head: `update ${sql} set "revoked_at" = now(), "revoked_reason" = 'system', "updated_at" = statement_timestamp()`,
      where: '"user_id" = $1 and "revoked_at" is null',
    }),
    id,
  )
  await changeRows(
    scope,
    organizationMembers,
    'endAccess',
    ({ sql }) => ({
      head: `update ${sql} set "auth_epoch" = "auth_epoch" + 1, "updated_at" = statement_timestamp()`,
      where: '"user_id" = $1',
    }),
    id,
  )
}

async function carryAddress(scope: Scope, id: string, from: string, to: string): Promise<string[]> {
  const members = allRows<object>(scope, organizationMembers)
  const isTaken = (row: string) => `exists (select from ${members.plan.as('x').sql} where x."org_id" = ${row}."org_id"
    and x."email" = $3::text and x."user_id" <> $1 and x."deleted_at" is null)`
  const kept = ownStatement(
    members.plan,
    carryAddress,
    'kept',
    false,
    (
      plan,
    ) => `select m."org_id" from ${plan.as('m').sql} where m."user_id" = $1 and m."email" = $2::text and m."deleted_at" is null
      and ${isTaken('m')} order by m."org_id"`,
  )
  const keptIn = await members.run(
    kept,
    () => [id, from, to],
    ({ rows }) => rows.map(([org]) => org as string),
  )
  await changeRows(
    scope,
    organizationMembers,
    'changeEmail',
    ({ sql, resource }) => ({
      head: `update ${sql} set "email" = $3::text, "updated_at" = statement_timestamp()`,
      where: `"user_id" = $1 and "email" = $2::text and not ${isTaken(resource)}`,
    }),
    id,
    from,
    to,
  )
  return keptIn
}

const removeWhere = (
  scope: Scope,
  table: Parameters<typeof allRows>[1],
  column: string,
  value: string,
): Promise<void> =>
  changeRows(
    scope,
    table,
    'remove',
    ({ sql }) => ({ verb: 'delete', head: `delete from ${sql}`, where: `${column} = $1` }),
    value,
  )

async function changeRows(
  scope: Scope,
  table: Parameters<typeof allRows>[1],
  name: string,
  text: (plan: TablePlan) => Pick<ChangeText, 'head' | 'where'> & { readonly verb?: 'delete' },
  ...values: string[]
): Promise<void> {
  const rows = allRows<object>(scope, table)
  const statement = ownStatement(rows.plan, Users, name, true, (plan) => ({
    verb: 'update',
    ctes: [],
    returning: '',
    ...text(plan),
  }))
  await rows.run(
    statement,
    () => values,
    () => undefined,
  )
}
