import { BoundedMap } from '../core/bounded-map.js'
import { ConflictError, DecryptError, RetryableError } from '../core/errors.js'
import type { Call, Result } from '../core/executor.js'
import type { Rules, Sealed, SealedCell, Sealing } from '../core/rules.js'
import type { DataKey, DataKeys } from '../core/sealing.js'
import { statement } from '../core/statement.js'

/** Active keys of organizations that are kept in memory. */
const capacity = 1000

/**
 * The rule that seals columns and opens them. It seals under the active key of the organization, which is kept in memory; the calls in
 * front of the write fail when that key was rotated meanwhile.
 */
export function sealing(keys: DataKeys): Pick<Rules, 'seal' | 'wrappedKey' | 'open'> {
  const active = new BoundedMap<string, DataKey>(capacity)
  return {
    seal: (wanted) => {
      const known = active.get(wanted.orgId)
      return {
        ask: known === undefined ? { statement: findActive, values: [wanted.orgId] } : undefined,
        async seal(answer) {
          const key = known ?? (await activeKey(keys, wanted.orgId, answer))
          active.set(wanted.orgId, key)
          return sealed(keys, wanted, key, () => {
            if (active.get(wanted.orgId)?.id === key.id) active.delete(wanted.orgId)
          })
        },
      }
    },
    wrappedKey,
    open: (cell) => open(keys, cell),
  }
}

const findActive = statement(
  `select id, kek_id, wrapped from platform.org_keys where org_id = $1 and state = 'active'`,
  'read',
)

async function activeKey(keys: DataKeys, orgId: string, answer: Result | undefined): Promise<DataKey> {
  const [row] = answer?.rows ?? []
  if (row === undefined)
    throw new ConflictError(
      'org_keys',
      ['state'],
      'this organization has no key for its sealed columns: run `tenantry keys ensure`',
    )
  const [keyId, masterKeyId, wrapped] = row as [string, string, Uint8Array]
  return keys.unwrap({ masterKeyId, wrapped }, { orgId, keyId })
}

function sealed(keys: DataKeys, { orgId, cells }: Sealing, key: DataKey, forget: () => void): Sealed {
  return {
    values: cells.map(({ column, rowId, text }) => keys.seal(key, { orgId, column, rowId }, text)),
    before: holdActive(orgId, key.id, forget),
  }
}

/**
 * Calls in front of a write that is sealed under a key. They take the lock that an insert takes on the organization's row, and a rotation
 * takes that row for itself: it waits for such writes, and they wait for it. In read committed the second statement sees what was
 * committed while the first one waited. At a higher isolation it does not: there the lock itself is refused, because the rotation has
 * also updated the row.
 */
const holdActive = (orgId: string, keyId: string, onRotated: () => void): readonly Call[] => [
  { statement: holdOrganization, values: [orgId] },
  {
    statement: {
      ...assertActive,
      refusal(sqlstate) {
        if (sqlstate !== divisionByZero) return undefined
        onRotated()
        return new RetryableError('key')
      },
    },
    values: [orgId, keyId],
  },
]

const holdOrganization = statement('select from platform.organizations where id = $1 for key share', 'read')

const divisionByZero = '22012'
/** Where the key is not the active one, the count is 0, and the division fails on purpose: so does the write behind it. */
const assertActive = statement(
  `select 1 / count(*)::int from platform.org_keys where org_id = $1 and id = $2 and state = 'active'`,
  'read',
)

/** `kek_id:wrapped in hex` of the key that the header of a ciphertext names. Null where it is destroyed, or of another organization. */
const wrappedKey = (column: string): string =>
  `(select k."kek_id"::text || ':'::text || pg_catalog.encode(k."wrapped", 'hex'::text) from "platform"."org_keys" k
    where k."org_id" = $1 and pg_catalog.uuid_send(k."id") = substring(${column} from 3 for 16))`

async function open(keys: DataKeys, { orgId, column, rowId, sealed, key }: SealedCell): Promise<string> {
  const keyId = keys.keyIdOf(sealed)
  if (typeof key !== 'string') throw new DecryptError('its key is destroyed, or is not one of this organization')
  const end = key.lastIndexOf(':')
  const wrapped = { masterKeyId: key.slice(0, end), wrapped: Buffer.from(key.slice(end + 1), 'hex') }
  return keys.open(await keys.unwrap(wrapped, { orgId, keyId }), { orgId, column, rowId }, sealed)
}
