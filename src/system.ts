import { z } from 'zod'
import type { NamedAuthor } from './core/author.js'
import type { Executor } from './core/executor.js'
import { trusted } from './core/rules.js'
import type { Secrets } from './core/scope.js'
import { openScope } from './core/scopes/open-scope.js'
import { parseInput } from './core/values.js'
import { auditTrail } from './operations/audit-trail.js'
import { AuditChains } from './operations/audit-chains.js'
import { Billing } from './operations/billing.js'
import { Catalogs } from './operations/catalogs.js'
import { Keys } from './operations/keys.js'
import { Maintenance } from './operations/maintenance.js'
import { Organizations } from './operations/organizations.js'
import { sealing } from './operations/sealed-columns.js'
import { SystemSchedules } from './operations/fire-due-schedules.js'
import { SystemTasks } from './operations/claim-fairly.js'
import { Users } from './operations/users.js'
import type { SystemOptions, SystemWork } from './operations/system-operation.js'
import * as shape from './schema/shared/shapes.js'

/** Named operations across organizations. Each is recorded with its actor and its reason. */
export class System {
  constructor(private readonly work: SystemWork) {}

  get audit(): AuditChains {
    return new AuditChains(this.work)
  }

  get users(): Users {
    return new Users(this.work)
  }

  get organizations(): Organizations {
    return new Organizations(this.work)
  }

  /** The events of payment providers. */
  get billing(): Billing {
    return new Billing(this.work)
  }

  get catalog(): Catalogs {
    return new Catalogs(this.work)
  }

  /** The keys of sealed columns. */
  get keys(): Keys {
    return new Keys(this.work)
  }

  get maintenance(): Maintenance {
    return new Maintenance(this.work)
  }

  /** The schedules of every organization. */
  get schedules(): SystemSchedules {
    return new SystemSchedules(this.work)
  }

  /** The tasks of every organization. */
  get tasks(): SystemTasks {
    return new SystemTasks(this.work)
  }
}

/** Members read this log, so it names `system`; the operator is in `system_audit_logs`. */
const systemAuthor: NamedAuthor = { actorKind: 'system', actorId: undefined, actorLabel: 'system' }

const operator = z.strictObject({ actor: shape.label(200), reason: shape.label(1000) })

export interface SystemSettings extends Pick<SystemWork, 'tables' | 'flags'> {
  readonly executor: Executor
  readonly secrets: Secrets
  readonly debug: boolean
}

/** The operations over an executor of the system's login. Throws InvalidInputError for an operator without a name or a reason. */
export function systemOf(settings: SystemSettings, given: SystemOptions): System {
  const { executor, secrets, tables, debug, flags } = settings
  const { cursorKeys, tokens, dataKeys, chainKeys, hasKeyProvider } = secrets
  const context = {
    actor: undefined,
    author: systemAuthor,
    request: undefined,
    signal: undefined,
    readOnly: false,
    isolation: undefined,
    cursorKeys,
    tokens,
    rules: { ...trusted, ...sealing(dataKeys), audit: auditTrail },
  }
  return new System({
    operator: parseInput(operator, given),
    tables,
    flags,
    dataKeys,
    chainKeys,
    hasKeyProvider,
    scopeAbout: (about) => openScope({ ...context, binding: { kind: 'system', about } }, executor, debug),
  })
}
