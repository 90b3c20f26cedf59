import type { Declarations } from './rights.js'
import type { Session } from '../database/session.js'
import { type CarriedOut, carryOut } from './carry-out.js'
import { type ClosedExtension, closedExtensions } from './extensions.js'
import { planGrants } from './grant-plan.js'
import { closePartitions } from './close-partitions.js'
import { type LockOptions, withMigrationLock } from '../database/session-lock.js'
import { planSetConfig, planDatabase, planLargeObjects, planSetConfigForOwner, planRoles } from './roles.js'

/** What bootstrap did. A second run does nothing more, unless its session has more rights. */
export interface Bootstrapped extends CarriedOut {
  /** SQL that closes one more way around row security. Only a superuser may run it, and managed servers have none. */
  readonly advised: readonly string[]
  /** Extensions with functions that the application may not execute. Nothing is wrong unless it calls them. */
  readonly extensions: readonly ClosedExtension[]
}

export interface BootstrapOptions extends LockOptions {
  /** The database is used by nothing else, so that temporary tables can be forbidden in it. */
  readonly exclusiveDatabase?: boolean
}

/** Before the first migration: makes the roles that its policies name, and revokes what the database grants to everybody. */
export function bootstrapRoles(session: Session, options: BootstrapOptions = {}): Promise<Bootstrapped> {
  return withMigrationLock(session, options, async () => {
    const roles = await carryOut(session, 'bootstrap of roles', planRoles)
    const database = await carryOut(
      session,
      'bootstrap of the database',
      planDatabase(options.exclusiveDatabase === true),
    )
    const binding = await carryOut(session, 'bootstrap of the binding', planSetConfig)
    const objects = await carryOut(session, 'bootstrap of large objects', planLargeObjects)
    // Required for scopes; the other statements are hardening.
    const needed = binding.remaining.length === 0 ? [] : await planSetConfigForOwner(session)
    return {
      done: [...roles.done, ...database.done, ...binding.done, ...objects.done],
      remaining: [...roles.remaining, ...database.remaining, ...needed],
      advised: [...binding.remaining.filter((statement) => !needed.includes(statement)), ...objects.remaining],
      extensions: await closedExtensions(session),
    }
  })
}

/** After each migration: grants exactly the declared rights, and closes partitions. Tables that do not exist yet are skipped. */
export function bootstrapGrants(
  session: Session,
  declarations: Declarations,
  options: BootstrapOptions = {},
): Promise<CarriedOut> {
  return withMigrationLock(session, options, async () => {
    const grants = await carryOut(session, 'bootstrap of grants', planGrants(declarations))
    const partitions = await closePartitions(session, declarations.tables)
    return {
      done: [...grants.done, ...partitions.done],
      remaining: [...grants.remaining, ...partitions.remaining],
    }
  })
}

/**
 * The roles of the cluster, then the rights in the database. Each part reads the catalogs first and changes nothing where all is
 * right: a second database of the cluster finds its roles.
 */
export function bootstrap(
  session: Session,
  declarations: Declarations,
  options: BootstrapOptions = {},
): Promise<Bootstrapped> {
  return withMigrationLock(session, options, async () => {
    const roles = await bootstrapRoles(session, options)
    const grants = await bootstrapGrants(session, declarations, options)
    return {
      done: [...roles.done, ...grants.done],
      remaining: [...roles.remaining, ...grants.remaining],
      advised: roles.advised,
      extensions: roles.extensions,
    }
  })
}
