import type { AuditChains, AuditHead, VerifiedChains } from '../../src/operations/audit-chains.js'
import { type Team, useTeams } from './use-teams.js'

export interface Stored {
  readonly seq: number | null
  readonly id: string
}

export interface Chain {
  readonly org: string
  readonly team: Team
  /** The ids of its entries, in the order of their numbers. */
  readonly ids: readonly string[]
  readonly head: AuditHead
}

/** Organizations with chains of entries that tests alter as the owner of the tables. */
export function useAuditChains() {
  const teams = useTeams()
  const audit = (): AuditChains => teams.system().audit
  const sql = <Row>(text: string, values: readonly unknown[] = []) => teams.database.admin.query<Row>(text, values)
  const stored = (org: string) =>
    sql<Stored>(`select seq::int, id from platform.audit_logs where org_id = $1 order by seq, created_at, id`, [org])

  /** So many entries, each with every column, in the order of their times. */
  async function write(org: string, count: number): Promise<void> {
    await sql(
      `insert into platform.audit_logs (org_id, id, project_id, actor_kind, actor_id, actor_label, on_behalf_of, event_type, action,
         resource_type, resource_id, changes, metadata, severity, ip_address, user_agent, request_id, created_at)
       select $1, gen_random_uuid(), gen_random_uuid(), 'user', gen_random_uuid(), 'label', gen_random_uuid(), 'report.' || n, 'other',
         'reports', n::text, jsonb_build_object('n', n), '{"b": 1, "a": [1.50, null]}', 'info', '192.0.2.7', 'curl', 'r-1',
         now() - interval '1 hour' + n * interval '1 microsecond'
       from generate_series(1, $2::int) n`,
      [org, count],
    )
  }

  /** An organization without entries. */
  async function newLog(): Promise<Team> {
    const team = await teams.newTeam()
    await sql('delete from platform.audit_logs where org_id = $1', [team.id])
    return team
  }

  return {
    teams,
    audit,
    sql,
    stored,
    write,
    newLog,
    /** A new organization with a chain of so many entries. */
    sealed: async (count = 8): Promise<Chain> => {
      const team = await newLog()
      await write(team.id, count)
      await audit().seal(team.id)
      const head = await audit().head(team.id)
      if (head === undefined) throw new Error('nothing was sealed')
      return { org: team.id, team, ids: (await stored(team.id)).map(({ id }) => id), head }
    },
    /** The first entry that is broken, if there is one. */
    verify: async (org: string, anchor?: AuditHead) => firstFault(await audit().verify(org, anchor && { anchor })),
    /** Another row with the content and the hashes of an entry. */
    insertCopy: (org: string, of: number, id: string, seq: number) =>
      sql(
        `insert into platform.audit_logs (org_id, id, event_type, created_at, seq, prev_hash, hash)
         select org_id, $3, event_type, created_at, $4, prev_hash, hash
         from platform.audit_logs where org_id = $1 and seq = $2`,
        [org, of, id, seq],
      ),
  }
}

export function firstFault({ broken: [first] }: VerifiedChains) {
  return first && { fault: first.fault, seq: first.seq, id: first.id }
}
