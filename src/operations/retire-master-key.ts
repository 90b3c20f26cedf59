import { ConflictError, InvalidInputError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { apiKeys, isLiveKey } from '../schema/api-keys.js'
import { isPendingInvitation, organizationInvitations } from '../schema/invitations.js'
import { isLiveSession } from '../schema/sessions.js'
import { activeMasterKeys, countNeeds } from './master-keys.js'
import { ask } from './stored-keys.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

/** What `retire` ended. */
export interface RetiredMasterKey {
  readonly id: string
  readonly apiKeys: readonly { readonly orgId: string; readonly id: string; readonly name: string }[]
  readonly sessions: number
  readonly invitations: number
  /** Entries of audit logs that cannot be verified without it: keep the key for them, outside of the servers. */
  readonly auditEntries: number
}

/**
 * Ends what was hashed under a master key, if `dropKeys` is set. Throws ConflictError when it is still needed. Audit entries under it
 * do not count: they never end.
 */
export async function retireMasterKey(work: SystemWork, id: string, dropKeys: boolean): Promise<RetiredMasterKey> {
  if (activeMasterKeys(work).includes(id))
    throw new InvalidInputError('id', `${id} is an active master key: make another one the active one first`)
  return operate(
    work,
    'keys.retire',
    undefined,
    async (scope) => {
      const needs = (await countNeeds(scope, work)).find((one) => one.id === id)
      if (needs === undefined) throw new InvalidInputError('id', `there is no master key ${id}`)
      const { dataKeys, apiKeys, sessions, invitations, auditEntries } = needs
      if (dataKeys > 0)
        throw new ConflictError(
          'org_keys',
          ['masterKeyId'],
          `${dataKeys} data keys are wrapped by ${id}, and their secrets would be lost: run \`tenantry keys rotate --master\` first`,
        )
      if (apiKeys + sessions + invitations > 0 && !dropKeys)
        throw new ConflictError(
          'org_keys',
          ['masterKeyId'],
          `${id} is still needed by ${apiKeys} API keys, ${sessions} sessions and ${invitations} invitations: wait until they have ended, or end them with --drop-keys`,
        )
      return { id, ...(dropKeys ? await endAll(scope, id) : nothing), auditEntries }
    },
    { metadata: (retired) => ({ ...retired, apiKeys: retired.apiKeys.length }) },
  )
}

const nothing = { apiKeys: [], sessions: 0, invitations: 0 }

async function endAll(scope: Scope, id: string) {
  return {
    apiKeys: await revokeApiKeys(scope, id),
    sessions: await ask(scope, endSessions, [id], ({ rowCount }) => rowCount),
    invitations: await revokeInvitations(scope, id),
  }
}

/** In one organization after the other, because a cluster refuses to change several of them in one statement with their entries. */
async function revokeApiKeys(scope: Scope, id: string): Promise<RetiredMasterKey['apiKeys']> {
  const rows = allRows<object>(scope, apiKeys)
  const revoke = ownStatement(rows.plan, retireMasterKey, 'revoke', true, ({ sql, resource }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "status" = 'revoked', "revoked_at" = now(), "updated_at" = statement_timestamp()`,
    where: `"org_id" = $2::uuid and "pepper_id" = $1::text and ${isLiveKey(resource)}`,
    returning: '"org_id", "id", "name"',
  }))
  const revoked: RetiredMasterKey['apiKeys'][number][] = []
  for (const orgId of await ask(scope, findKeyOwners, [id], (result) => result.rows.map(([org]) => String(org)))) {
    const ended = await rows.run(
      revoke,
      () => [id, orgId],
      (result) => result.rows.map((row) => ({ orgId: String(row[0]), id: String(row[1]), name: String(row[2]) })),
    )
    revoked.push(...ended)
  }
  return revoked
}

const findKeyOwners = statement(
  `select distinct k.org_id from platform.api_keys k where k.pepper_id = $1::text and ${isLiveKey('k')} order by k.org_id`,
  'read',
)

function revokeInvitations(scope: Scope, id: string): Query<number> {
  const rows = allRows<object>(scope, organizationInvitations)
  const revoke = ownStatement(rows.plan, retireMasterKey, 'revoke', true, ({ sql, resource }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "revoked_at" = now(), "updated_at" = statement_timestamp()`,
    where: `"pepper_id" = $1::text and ${isPendingInvitation(resource)}`,
    returning: '',
  }))
  return rows.run(
    revoke,
    () => [id],
    ({ rowCount }) => rowCount,
  )
}

/** With an entry in the log of each person. */
const endSessions = statement(
  `with ended as (
     update platform.user_sessions s set revoked_at = now(), revoked_reason = 'system', updated_at = statement_timestamp()
     where s.pepper_id = $1 and ${isLiveSession('s')} returning s.user_id, s.id
   )
   insert into platform.user_audit_logs (user_id, id, event_type, session_id)
   select user_id, gen_random_uuid(), 'system.retireMasterKey', id from ended returning 1`,
  'change',
)
