import { NotFoundError } from '../core/errors.js'
import type { Result } from '../core/executor.js'
import { newId } from '../core/ids.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { DataKeys, WrappedKey } from '../core/sealing.js'
import { statement } from '../core/statement.js'
import { type OrgKey, orgKeys } from '../schema/org-keys.js'
import * as shape from '../schema/shared/shapes.js'

/** A data key that is not stored yet. */
export interface NewKey {
  readonly id: string
  readonly masterKeyId: string
  readonly wrapped: Uint8Array
}

/** A wrapped data key, as it is stored. */
export interface StoredKey extends WrappedKey {
  readonly orgId: string
  readonly keyId: string
}

export async function newKey(keys: DataKeys, orgId: string): Promise<NewKey> {
  const id = newId()
  const { masterKeyId, wrapped } = await keys.make({ orgId, keyId: id })
  return { id, masterKeyId, wrapped }
}

/** Stores it as the active key of the scope's organization, which must have no other. */
export const addKey = (scope: Scope, { id, masterKeyId: kekId, wrapped }: NewKey): Query<OrgKey> =>
  new ScopedTable<OrgKey>(scope, orgKeys).insertRow(shape.noInput, {}, { managed: { id, kekId, wrapped } })

/** One statement of the library's own over the key tables. */
export const ask = <T>(
  scope: Scope,
  text: ReturnType<typeof statement>,
  values: readonly unknown[],
  read: (result: Result) => T,
): Query<T> => scope.query(() => planned({ statement: text, values }, read))

/**
 * Waits until writes under the active key have ended, and holds up new ones, by a lock of the organization's row. The update changes
 * nothing: because of it, transactions of a higher isolation fail, which would not see the new key. Throws NotFoundError.
 */
export async function lockForRotation(scope: Scope, orgId: string): Promise<void> {
  const found = await ask(scope, lockOrganization, [orgId], ({ rowCount }) => rowCount)
  if (found === 0) throw new NotFoundError('organizations')
  await ask(scope, touchOrganization, [orgId], () => undefined)
}

const lockOrganization = statement('select from platform.organizations where id = $1 for update', 'read')
const touchOrganization = statement('update platform.organizations set updated_at = updated_at where id = $1', 'change')
