import { planned } from './core/planned.js'
import type { Query } from './core/query.js'
import type { Scope } from './core/scope.js'
import { statement } from './core/statement.js'
import { ownerId } from './core/owner-id.js'
import type { SessionPolicy } from './operations/session-policy.js'
import { Sessions } from './operations/sessions.js'
import { Profile } from './operations/profile.js'

/** An organization in which a person is an active member. */
export interface MyOrganization {
  readonly id: string
  readonly slug: string
  readonly name: string
  /** The key of the person's role there. */
  readonly role: string
  readonly status: 'active' | 'suspended'
}

/** One person: their own row, their sessions and their organizations. Its scope reaches nobody else. */
export class User {
  readonly profile: Profile
  readonly sessions: Sessions
  readonly organizations: MyOrganizations
  readonly id: string

  constructor(scope: Scope, policy: SessionPolicy) {
    this.id = ownerId(scope, 'user')
    this.profile = new Profile(scope)
    this.sessions = new Sessions(scope, policy)
    this.organizations = new MyOrganizations(scope)
  }
}

/** The organizations of one person. */
export class MyOrganizations {
  constructor(private readonly scope: Scope) {}

  /** By name. Empty for a person who is suspended, banned or deleted. */
  list(): Query<MyOrganization[]> {
    return this.scope.query(() =>
      planned({ statement: mine, values: [] }, ({ rows }) =>
        rows.map(([id, slug, name, role, status]) => ({ id, slug, name, role, status }) as MyOrganization),
      ),
    )
  }
}

const mine = statement(
  'select o.id, o.slug, o.name, o.role, o.status from platform.my_organizations() o order by o.name, o.id',
  'read',
)
