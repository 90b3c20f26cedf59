import { z } from 'zod'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { ListOptions, PageContent, PageOf } from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { refusedVerb } from '../core/statements/updates.js'
import { parseInput } from '../core/values.js'
import { type Invitation, organizationInvitations } from '../schema/invitations.js'
import { type Organization, organizations } from '../schema/organizations.js'
import * as shape from '../schema/shared/shapes.js'
import { type NewProvision, provision, type Provisioned } from './provision.js'
import { revokeInvitations } from './revoke-invitations.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

/** The organizations, for whoever runs the platform. Each call is recorded in `system_audit_logs`. */
export class Organizations {
  constructor(private readonly work: SystemWork) {}

  /**
   * Makes an organization with its roles, its owner and its plan: all of it, or nothing. The same `key` with the same values gives
   * the same organization again; with others it throws IdempotencyMismatchError.
   */
  provision(values: NewProvision): Promise<Provisioned> {
    return provision(this.work, values)
  }

  find(id: string): Promise<Organization | undefined> {
    return this.read('find', (rows) => rows.find(id))
  }

  findBySlug(slug: string): Promise<Organization | undefined> {
    return this.read('findBySlug', (rows) => rows.findRow({ slug }))
  }

  /** By the host's own id for this customer. */
  findByExternalId(externalId: string): Promise<Organization | undefined> {
    return this.read('findByExternalId', (rows) => rows.findRow({ externalId }))
  }

  /** The suspended ones too, without the deleted ones. */
  list<Name extends Field<Organization> = Field<Organization>, Total extends boolean = false>(
    options?: ListOptions<Organization> & PageContent<Name, Total>,
  ): Promise<PageOf<Selected<Organization, Name>, Total>> {
    return this.read('list', (rows) => rows.list(options))
  }

  /** From now on every read and write of the organization is refused with OrganizationSuspendedError. */
  suspend(id: string, reason: string): Promise<Organization> {
    return this.change('suspend', id, async (rows) => {
      const given = parseInput(suspension, { reason })
      return rows.guardedRow('suspend', parseId(id), suspending, () => [given.reason])
    })
  }

  reactivate(id: string): Promise<Organization> {
    return this.change('reactivate', id, (rows) => rows.guardedRow('reactivate', id, reactivating, () => []))
  }

  /**
   * Hides the organization and frees its name and slug, but not the `key` of `provision`. Nothing is removed: `restore` brings all of it
   * back.
   */
  delete(id: string): Promise<Organization> {
    return this.change('delete', id, (rows) => rows.hideRow(id))
  }

  /** Throws ConflictError when another organization has taken the name, the slug or the external id. */
  restore(id: string): Promise<Organization> {
    return this.change('restore', id, (rows) => rows.restoreRow(id))
  }

  /**
   * Sets `allow_user_management`. While it is false, only backend code and jobs change members, roles, invitations and the members of
   * projects. Invitations that are there can still be accepted: `revokeInvitations` ends them.
   */
  setUserManagement(id: string, isAllowed: boolean): Promise<Organization> {
    return this.change('setUserManagement', id, async (rows) => {
      const given = parseInput(management, { isAllowed })
      return rows.updateRow(
        shape.noInput,
        id,
        {},
        { managed: { allowUserManagement: given.isAllowed }, event: 'setUserManagement' },
      )
    })
  }

  /** Revokes every invitation that is not settled, as after `setUserManagement(id, false)`. Returns how many. */
  revokeInvitations(id: string): Promise<number> {
    const about = { kind: 'org', id: parseId(id) } as const
    return operate(this.work, 'organizations.revokeInvitations', about, (scope) =>
      revokeInvitations(new ScopedTable<Invitation>(scope, organizationInvitations), 'of the organization'),
    )
  }

  private read<T>(name: string, ask: (rows: ScopedTable<Organization>) => Query<T>): Promise<T> {
    return operate(this.work, `organizations.${name}`, undefined, (scope) =>
      ask(allRows<Organization>(scope, organizations)),
    )
  }

  private async change<T>(name: string, id: string, work: (rows: ScopedTable<Organization>) => Promise<T>): Promise<T> {
    const about = { kind: 'org', id: parseId(id) } as const
    return operate(this.work, `organizations.${name}`, about, (scope: Scope) =>
      work(new ScopedTable<Organization>(scope, organizations)),
    )
  }
}

const suspension = z.strictObject({ reason: shape.label(1000) })
const management = z.strictObject({ isAllowed: z.boolean() })

const suspending = {
  set: `"status" = 'suspended', "suspended_at" = now(), "suspended_reason" = $3::text`,
  when: `"status" = 'active'`,
  ask: '"status"',
  refuse: ([status]: readonly unknown[]) => refusedVerb('organizations', 'suspend', String(status), ['active']),
}

const reactivating = {
  set: `"status" = 'active', "suspended_at" = null, "suspended_reason" = null`,
  when: `"status" = 'suspended'`,
  ask: '"status"',
  refuse: ([status]: readonly unknown[]) => refusedVerb('organizations', 'reactivate', String(status), ['suspended']),
}
