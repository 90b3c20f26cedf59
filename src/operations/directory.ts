import { z } from 'zod'
import type { Executor } from '../core/executor.js'
import { newId } from '../core/ids.js'
import { planned } from '../core/planned.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import { parseInput } from '../core/values.js'
import { Profile, type ProfileRow } from './profile.js'
import { runUnbound } from './run-unbound.js'
import * as shape from '../schema/shared/shapes.js'
import { newUser, type NewUser } from '../schema/users.js'

export interface Registration extends NewUser {
  /** Whether the host has seen that the address is the person's. Default: false. */
  readonly emailConfirmed?: boolean | undefined
}

/** People by what the host knows of them. It gives ids and nothing else: their rows are in `tenancy.forUser(id)`. */
export class Directory {
  constructor(
    private readonly executor: Executor,
    private readonly scopeOf: (userId: string) => Scope,
  ) {}

  /**
   * Makes the row of a person. Throws ConflictError for a taken address, username or external id: do not show that to whoever signs up,
   * since it tells them who is registered.
   */
  async register(values: Registration): Promise<ProfileRow> {
    const { id = newId(), email, emailConfirmed = false, metadata, ...more } = parseInput(registration, values)
    const { externalId, username, firstName, lastName, avatarUrl, phone } = more
    const shown = [externalId, username, firstName, lastName, avatarUrl, phone].map((value) => value ?? null)
    const parameters = [id, email, emailConfirmed, ...shown, metadata === undefined ? null : JSON.stringify(metadata)]
    const scope = this.scopeOf(id)
    await scope.query(() => planned({ statement: register, values: parameters }, () => undefined))
    return new Profile(scope).get()
  }

  /** The id of the live person with that address. */
  async findIdByEmail(email: string): Promise<string | undefined> {
    return lookUpId(this.executor, idByEmail, parseInput(address, { email }).email)
  }

  /** The id of the live person with that id of the host's. */
  async findIdByExternalId(externalId: string): Promise<string | undefined> {
    return lookUpId(this.executor, idByExternalId, parseInput(hostId, { externalId }).externalId)
  }
}

/** The id of the live organization with that slug, and nothing else: for a subdomain in each request. */
export async function findIdBySlug(executor: Executor, slug: string): Promise<string | undefined> {
  return lookUpId(executor, idBySlug, parseInput(subdomain, { slug }).slug)
}

async function lookUpId(executor: Executor, by: typeof idByEmail, value: string): Promise<string | undefined> {
  const [row] = await runUnbound(executor, by, [value])
  return (row?.[0] as string | null | undefined) ?? undefined
}

const address = z.strictObject({ email: shape.email })
const hostId = z.strictObject({ externalId: shape.label(255) })
const subdomain = z.strictObject({ slug: shape.slug })
const registration = newUser.extend({ emailConfirmed: z.boolean().optional() })

const register = statement(`select platform.register_user($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, 'insert')
const idByEmail = statement('select platform.user_id_by_email($1)', 'read')
const idByExternalId = statement('select platform.user_id_by_external_id($1)', 'read')
const idBySlug = statement('select platform.organization_id_by_slug($1)', 'read')
