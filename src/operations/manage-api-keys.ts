import { z } from 'zod'
import { ConflictError, ForbiddenError, InvalidInputError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { unguarded } from '../core/statements/updates.js'
import { planOf } from '../core/statements/table-plan.js'
import { ownProperties, parseInput } from '../core/values.js'
import { ApiKeys } from '../repositories/api-keys.js'
import { type ApiKey, apiKeyPatch, type ApiKeyPatch, apiKeys, newApiKey, type NewApiKey } from '../schema/api-keys.js'
import { organizationMembers } from '../schema/members.js'
import * as shape from '../schema/shared/shapes.js'
import { actingUser, assertPermissions, isLiveMember, lockAsActor } from './role-rights.js'

/** A new key with its token, which is shown only now: it is not stored. */
export interface CreatedApiKey {
  readonly apiKey: ApiKey
  readonly token: string
}

export interface KeyInput extends Omit<NewApiKey, 'userId'> {
  /** The member whom the key belongs to. Default: the acting person. Required when no person acts. */
  readonly userId?: string | undefined
}

/**
 * The API keys with the verbs that make tokens and change keys. With an actor, nobody makes or changes a key that has permissions which
 * the actor lacks.
 */
export class ManagedApiKeys extends ApiKeys {
  /**
   * Creates a key for a member. Its scopes are permissions; with an actor, only those that the actor has. Throws ConflictError when a
   * live key has that name.
   */
  create(values: KeyInput): Promise<CreatedApiKey> {
    return this.drawn(async (inner) => {
      inner.authorize()
      const given = ownProperties(values)
      const userId = given.userId ?? actingUser(inner.scope)
      if (userId === undefined)
        throw new InvalidInputError(
          'userId',
          'is missing: give the id of the member that the key will belong to; a call by an API key must name a service',
        )
      const { scopes = [], ...key } = parseInput(newApiKey, { ...given, userId })
      // First whether they exist: nobody has a permission that is misspelt.
      await assertPermissions(inner.scope, 'scopes', scopes)
      inner.assertScopes(scopes)
      const { epoch, kind } = await inner.lockHolder(key.userId)
      inner.assertMadeOut(key.userId, kind)
      return inner.insertKey({ ...key, scopes, authEpoch: epoch })
    })
  }

  /**
   * A successor with another token and the same rights. The old key is accepted until `graceUntil`. Without `graceUntil` the old key is
   * revoked at once. Throws ConflictError for a key that was revoked or rotated, or has expired.
   */
  rotate(id: string, options?: { readonly graceUntil?: Date | undefined }): Promise<CreatedApiKey> {
    return this.drawn(async (inner) => {
      const old = await inner.lockKey(id)
      const { graceUntil } = parseInput(rotation, options ?? {})
      const { epoch, kind } = await inner.lockHolder(old.userId)
      inner.assertMadeOut(old.userId, kind)
      await inner.replaced(old.id, graceUntil)
      const { userId, name, scopes, rateLimitPerHour, expiresAt } = old
      return inner.insertKey({ userId, name, scopes, rateLimitPerHour, expiresAt, authEpoch: epoch, rotatedFrom: id })
    })
  }

  /** Changes the name, the hourly limit and the end. The scopes of a key never change, and no key changes itself. */
  update(id: string, patch: ApiKeyPatch): Promise<ApiKey> {
    return this.atomically(async (inner) => {
      const { actor } = inner.scope.context
      if (actor?.kind === 'api_key' && actor.id === id)
        throw new ForbiddenError(undefined, 'a key cannot change itself')
      await inner.lockKey(id)
      return inner.updateRow(apiKeyPatch, id, patch)
    })
  }

  /** The key is refused from now on. A revoked key is returned unchanged. */
  revoke(id: string): Promise<ApiKey> {
    return this.atomically(async (inner) => {
      await inner.lockKey(id)
      return inner.guardedRow('revoke', id, unguarded('api_keys', revoked), () => [])
    })
  }

  /** Revokes the key and hides it from every read. */
  delete(id: string): Promise<ApiKey> {
    return this.atomically(async (inner) => {
      await inner.lockKey(id)
      const set = `${revoked}, "deleted_at" = now()`
      return inner.guardedRow('delete', id, unguarded('api_keys', set), () => [])
    })
  }

  /** Locks the key. Throws ForbiddenError when it has a scope that the actor lacks, or the actor may not act any more. */
  private async lockKey(id: string): Promise<ApiKey> {
    this.authorize()
    const key = await lockAsActor(this.scope, (scope) => keysIn(scope).lockRow(parseId(id)))
    this.assertScopes(key.scopes)
    return key
  }

  private assertScopes(scopes: readonly string[]): void {
    const missing = scopes.find((scope) => this.scope.context.actor?.can(scope) === false)
    if (missing !== undefined) throw new ForbiddenError(missing)
  }

  /** A token is shown to whoever makes the key, so it must not act for another person. */
  private assertMadeOut(userId: string, kind: string): void {
    const { actor } = this.scope.context
    if (actor === undefined || actor.isTrusted || kind === 'service' || userId === actingUser(this.scope)) return
    throw new ForbiddenError(
      undefined,
      'an actor makes keys for themselves or a service only: leave userId out, or pass that of a service',
    )
  }

  /** Draws another token when the first characters of its secret are those of another key of the organization. */
  private async drawn(work: (inner: this) => Promise<CreatedApiKey>): Promise<CreatedApiKey> {
    for (let tries = 3; ; tries--) {
      try {
        return await this.atomically(work)
      } catch (error) {
        if (tries > 1 && error instanceof ConflictError && error.fields.includes('keyPrefix')) continue
        throw error
      }
    }
  }

  private authorize(): void {
    this.scope.context.rules.authorize('api_keys:write', undefined)
  }

  private async insertKey(managed: Readonly<Record<string, unknown>>): Promise<CreatedApiKey> {
    const { token, ...stored } = this.scope.context.tokens.makeKey(ownerId(this.scope, 'org'))
    const apiKey = await this.insertRow(shape.noInput, {}, { managed: { ...managed, ...stored } })
    return { apiKey, token }
  }

  /** Locks the member whom the key will belong to. Throws InvalidInputError for one who cannot act. */
  private async lockHolder(userId: string): Promise<{ readonly epoch: number; readonly kind: string }> {
    const member = planOf(organizationMembers)
    const lock = this.query(
      'lock holder',
      () => `select from ${member.sql} where ${member.visible} and "user_id" = $2 for share`,
    )
    await lockAsActor(this.scope, (scope) =>
      keysIn(scope).run(
        lock,
        () => [userId],
        () => undefined,
      ),
    )
    // Only now, so that it sees what somebody has changed who held the member before.
    const live = this.query(
      'holder',
      () =>
        `select "auth_epoch", "kind" from ${member.sql} where ${member.visible} and "user_id" = $2 and ${isLiveMember('$2::uuid')}`,
    )
    return this.run(
      live,
      () => [userId],
      ({ rows: [row] }) => {
        if (row === undefined) throw new InvalidInputError('userId', 'is not an active member of this organization')
        const [epoch, kind] = row as [number, string]
        return { epoch, kind }
      },
    )
  }

  private replaced(id: string, graceUntil: Date | undefined): Query<ApiKey> {
    const set = graceUntil === undefined ? revoked : `"grace_until" = $3::timestamptz`
    const values = graceUntil === undefined ? [] : [graceUntil.toISOString()]
    return this.guardedRow('rotate', id, { ...replaceable, set }, () => values)
  }
}

const keysIn = (scope: Scope) => new ScopedTable<ApiKey>(scope, apiKeys)

const rotation = z.strictObject({ graceUntil: shape.instant.optional() })

// A revoked key keeps the moment at which it was revoked.
const revoked = `"status" = 'revoked', "revoked_at" = least("revoked_at", now())`

/** Only a live key has a successor. */
const replaceable = {
  when: `"status" = 'active' and "grace_until" is null and ("expires_at" is null or "expires_at" > statement_timestamp())`,
  ask: 'true',
  refuse: () =>
    new ConflictError(
      'api_keys',
      ['status'],
      'api_keys: this key is revoked, was rotated or has expired; create another one',
    ),
}
