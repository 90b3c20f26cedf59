import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import type { Session } from '../../src/database/session.js'
import {
  agents,
  agentTools,
  organizations,
  organizationTools,
  projects,
  schedules,
  tasks,
  workflows,
} from '../../src/schema/index.js'
import type { Tenancy } from '../../src/tenancy.js'
import type { Part, Random, World } from './world.js'

const tables: readonly PgTable[] = [projects, agents, workflows, schedules, tasks, agentTools, organizationTools]

/** For each table, what no row of an organization that only it has written can be. */
const marks: readonly (readonly [PgTable, string])[] = [
  [projects, ownText('name'), `and metadata->>'of' = org_id::text`],
  [agents, ownText('name'), `and settings->>'of' = org_id::text`],
  [workflows, ownText('name'), `and definition->>'of' = org_id::text`],
  [schedules, ownText('name'), `and input->>'of' = org_id::text`],
  [organizationTools, '', `custom_config->>'of' = org_id::text`],
  [
    tasks,
    `(${ownText('kind')} or kind = 'schedule')`,
    `and input->>'of' = org_id::text and coalesce(${ownText('lease_owner')}, true)
     and coalesce(output->>'of' = org_id::text, output is null) and coalesce(error->>'of' = org_id::text, error is null)`,
  ],
].map(([table, text, json]) => [table as PgTable, `${text as string} ${json as string}`])

function ownText(column: string): string {
  return `starts_with(${column}, org_id::text)`
}

function sqlOf(table: PgTable): string {
  const { schema = 'public', name } = getTableConfig(table)
  return `"${schema}"."${name}"`
}

/** What the owner of the database finds between the operations. */
export class Inspection {
  constructor(
    private readonly world: World,
    private readonly admin: Session,
    private readonly tenancy: Pick<Tenancy, 'forOrg'>,
  ) {}

  /** Every byte of the organizations with these parts, as one digest for each table. */
  async photograph(parts: readonly Part[]): Promise<Map<string, string>> {
    const ids = this.ids(parts)
    const photos = new Map<string, string>()
    const take = async (sql: string, owner: string) => {
      const rows = await this.admin.query<{ org: string; digest: string }>(
        `select ${owner} as org, count(*) || ' ' || md5(string_agg(t::text, chr(10) order by t::text)) as digest
         from ${sql} t where ${owner} = any($1::uuid[]) group by 1`,
        [ids],
      )
      for (const { org, digest } of rows) photos.set(`${org} ${sql}`, digest)
    }
    for (const table of tables) await take(sqlOf(table), 'org_id')
    await take(sqlOf(organizations), 'id')
    return photos
  }

  async changes(parts: readonly Part[], before: ReadonlyMap<string, string>): Promise<string[]> {
    const after = await this.photograph(parts)
    return [...new Set([...before.keys(), ...after.keys()])]
      .filter((key) => before.get(key) !== after.get(key))
      .map((key) => `rows changed of an organization that did nothing: ${key}`)
  }

  async faults(random: Random): Promise<string[]> {
    return [...(await this.marks()), ...(await this.references()), ...(await this.counts(random))]
  }

  /** Rows that another organization has written. */
  private async marks(): Promise<string[]> {
    const faults: string[] = []
    for (const [table, own] of marks) {
      const rows = await this.admin.query(
        `select from ${sqlOf(table)} where org_id = any($1::uuid[]) and (${own}) is not true`,
        [this.ids()],
      )
      if (rows.length > 0) faults.push(`${rows.length} rows of ${sqlOf(table)} were written by another organization`)
    }
    return faults
  }

  /** References that lead to no row of the same organization. The keys should make it impossible. */
  private async references(): Promise<string[]> {
    const faults: string[] = []
    for (const table of tables) {
      for (const key of getTableConfig(table).foreignKeys) {
        const { columns, foreignColumns, foreignTable } = key.reference()
        if (!columns.some(({ name }) => name === 'org_id')) continue
        const given = columns.map(({ name }) => `t.${name} is not null`).join(' and ')
        const same = columns
          .map(({ name }, index) => `t.${name} = f.${foreignColumns[index]?.name ?? ''}`)
          .join(' and ')
        const rows = await this.admin.query(
          `select from ${sqlOf(table)} t where t.org_id = any($1::uuid[]) and ${given}
             and not exists (select from ${sqlOf(foreignTable)} f where ${same})`,
          [this.ids()],
        )
        if (rows.length > 0) faults.push(`${rows.length} references lead out of the organization: ${key.getName()}`)
      }
    }
    return faults
  }

  /** An organization counts its own rows and no others. */
  private async counts(random: Random): Promise<string[]> {
    const { id } = random.pick(this.world.members.filter(({ part }) => part === 'busy'))
    const org = this.tenancy.forOrg(id)
    const [all] = await this.admin.query<{ tasks: number; agents: number }>(
      `select (select count(*)::int from platform.tasks where org_id = $1) as tasks,
         (select count(*)::int from platform.agents where org_id = $1 and deleted_at is null) as agents`,
      [id],
    )
    const said = { tasks: await org.tasks.count(), agents: await org.agents.count() }
    return JSON.stringify(said) === JSON.stringify(all)
      ? []
      : [`an organization counts ${JSON.stringify(said)}, not ${JSON.stringify(all)}`]
  }

  private ids(parts?: readonly Part[]): string[] {
    return this.world.members.filter(({ part }) => parts?.includes(part) ?? true).map(({ id }) => id)
  }
}
