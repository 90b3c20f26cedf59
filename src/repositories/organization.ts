import { ownerId } from '../core/owner-id.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { type Organization, organizationPatch, type OrganizationPatch, organizations } from '../schema/organizations.js'

/** The organization itself. The system changes its status and whether it manages its members. Its plan is in `subscriptions`. */
export class OrganizationProfile {
  private readonly row: ScopedTable<Organization>
  private readonly id: string

  constructor(scope: Scope) {
    this.row = new ScopedTable<Organization>(scope, organizations, options)
    this.id = ownerId(scope, 'org')
  }

  /** Its row, settings included. */
  get(): Query<Organization> {
    return this.row.getOnly()
  }

  /** Throws ConflictError when another organization has the name or the slug. */
  update(patch: OrganizationPatch): Query<Organization> {
    return this.row.updateRow(organizationPatch, this.id, patch)
  }
}

const options = { permission: 'organization' }
