import type { DataKeys } from '../core/sealing.js'
import type { Session } from '../database/session.js'
import { newKey } from '../operations/stored-keys.js'

/** Gives an organization that was made by `createOrganization` a key for its sealed columns. `admin` is a session of the owner. */
export async function insertDataKey(admin: Session, keys: DataKeys, orgId: string): Promise<void> {
  const { id, masterKeyId, wrapped } = await newKey(keys, orgId)
  await admin.query('insert into platform.org_keys (org_id, id, kek_id, wrapped) values ($1, $2, $3, $4)', [
    orgId,
    id,
    masterKeyId,
    wrapped,
  ])
}
