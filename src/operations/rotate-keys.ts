import { nilId as nobody } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import type { WrappedKey } from '../core/sealing.js'
import { ScopedTable } from '../core/scoped-table.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { type OrgKey, orgKeys } from '../schema/org-keys.js'
import { cellsUnder, resealBatch, sealedTables } from './reseal.js'
import { assertRightKey } from './right-keys.js'
import { addKey, ask, lockForRotation, newKey } from './stored-keys.js'
import { operate, type SystemWork } from './system-operation.js'

/** What became of one organization's keys. */
export interface RotatedOrganization {
  /** Rows that were sealed again. */
  readonly rows: number
  /** False when the signal ended it. */
  readonly isComplete: boolean
  /** Older keys that were destroyed, because nothing is sealed with them any more. */
  readonly destroyed: number
  /** Cells that still name an older key. They do not open, or are in a column that this build does not know; their key is kept. */
  readonly left: number
}

/**
 * Gives the organization a new active key, unless its active one is newer than `since`, seals everything again, and destroys the older
 * keys that nothing needs any more. It may be stopped at any moment: the next run goes on with what is left.
 */
export async function rotateOrganization(
  work: SystemWork,
  orgId: string,
  since: Date,
  onBatch: (rows: number) => Promise<boolean>,
): Promise<RotatedOrganization> {
  const activeId = await activate(work, orgId, since)
  const scope = work.scopeAbout({ kind: 'org', id: orgId })
  let rows = 0
  for (const table of sealedTables(work.tables())) {
    let after: string | undefined = nobody
    while (after !== undefined) {
      const batch = await resealBatch(scope, orgId, table, activeId, after)
      rows += batch.rows
      after = batch.last
      if (!(await onBatch(batch.rows))) return { rows, isComplete: false, destroyed: 0, left: 0 }
    }
  }
  const { destroyed, left } = await destroyUnused(work, orgId)
  return { rows, isComplete: true, destroyed, left }
}

/** The id of the key to seal with: a new one, or the active one where that is newer than `since`. */
async function activate(work: SystemWork, orgId: string, since: Date): Promise<string> {
  const about = { kind: 'org', id: orgId } as const
  const scope = work.scopeAbout(about)
  const isDue = ({ createdAt }: ActiveKey) => createdAt < since
  const known = await activeKeyOf(scope, orgId)
  if (known !== undefined && !isDue(known)) return known.id
  await assertOpens(work, orgId, known)
  // Made before the lock, since a key service may take a while.
  const fresh = await newKey(work.dataKeys, orgId)
  return operate(work, 'keys.activate', about, async (inner) => {
    await lockForRotation(inner, orgId)
    const active = await activeKeyOf(inner, orgId)
    if (active !== undefined && !isDue(active)) return active.id
    // Another one than was read in front of the lock is asked for here; the same one is in memory.
    await assertOpens(work, orgId, active)
    await changeKeys(inner, 'supersede', `"state" = 'decrypt_only'`, `"state" = 'active'`)
    return (await addKey(inner, fresh)).id
  })
}

/** Throws for a key that this process cannot open: what is sealed under it could not be sealed again. */
async function assertOpens({ dataKeys }: SystemWork, orgId: string, key: ActiveKey | undefined): Promise<void> {
  if (key !== undefined) await dataKeys.unwrap(key, { orgId, keyId: key.id })
}

interface ActiveKey extends WrappedKey {
  readonly id: string
  readonly createdAt: Date
}

const activeKeyOf = (scope: Scope, orgId: string) =>
  ask(scope, findActive, [orgId], ({ rows: [row] }): ActiveKey | undefined => {
    if (row === undefined) return undefined
    const [id, createdAt, masterKeyId, wrapped] = row as [string, string, string, Uint8Array]
    return { id, createdAt: new Date(createdAt), masterKeyId, wrapped }
  })

const findActive = statement(
  `select id, created_at, kek_id, wrapped from platform.org_keys where org_id = $1 and state = 'active'`,
  'read',
)

/** Changes keys of the scope's organization, with an entry in its audit log. Returns how many. */
function changeKeys(
  scope: Scope,
  name: string,
  set: string,
  when: string,
  ...values: readonly string[]
): Query<number> {
  const rows = new ScopedTable<OrgKey>(scope, orgKeys)
  const change = ownStatement(rows.plan, rotateOrganization, name, true, ({ sql, visible }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set ${set}, "updated_at" = statement_timestamp()`,
    where: `${visible} and ${when}`,
    returning: '',
  }))
  return rows.run(
    change,
    () => values,
    ({ rowCount }) => rowCount,
  )
}

/** Counts and destroys in one transaction. Nothing can be sealed with these keys any more, since they are not active. */
async function destroyUnused(work: SystemWork, orgId: string): Promise<{ destroyed: number; left: number }> {
  const about = { kind: 'org', id: orgId } as const
  const older = await ask(work.scopeAbout(about), findOlder, [orgId], ({ rows }) => rows.map(([id]) => id as string))
  if (older.length === 0) return { destroyed: 0, left: 0 }
  return operate(
    work,
    'keys.destroyUnused',
    about,
    async (scope) => {
      const sum = { destroyed: 0, left: 0 }
      for (const id of older) {
        const cells = await cellsUnder(scope, orgId, id, work.tables())
        sum.left += cells
        if (cells === 0)
          sum.destroyed += await changeKeys(
            scope,
            'destroy unused',
            destroyed,
            `"id" = $2::uuid and "state" = 'decrypt_only'`,
            id,
          )
      }
      return sum
    },
    { metadata: (result) => ({ ...result }) },
  )
}

const findOlder = statement(
  `select id from platform.org_keys where org_id = $1 and state = 'decrypt_only' order by id`,
  'read',
)
const destroyed = `"state" = 'destroyed', "wrapped" = null, "destroyed_at" = statement_timestamp()`

/** Destroys every key of the organization: what is sealed with them is lost at once, in every process. Returns how many. */
export const destroyAll = (work: SystemWork, orgId: string): Promise<number> =>
  operate(
    work,
    'keys.destroy',
    { kind: 'org', id: orgId },
    async (scope) => {
      await lockForRotation(scope, orgId)
      return changeKeys(scope, 'destroy', destroyed, `"state" <> 'destroyed'`)
    },
    { metadata: (keys) => ({ keys }) },
  )

/** Makes the first key of an organization. Returns false where there is one. */
export async function ensureKey(work: SystemWork, orgId: string): Promise<boolean> {
  const about = { kind: 'org', id: orgId } as const
  await assertRightKey(work.scopeAbout(about), work, 'wrap', work.dataKeys.provider.activeId)
  const fresh = await newKey(work.dataKeys, orgId)
  return operate(work, 'keys.ensure', about, async (scope) => {
    await lockForRotation(scope, orgId)
    if ((await activeKeyOf(scope, orgId)) !== undefined) return false
    await addKey(scope, fresh)
    return true
  })
}
