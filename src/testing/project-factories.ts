import { and, asc, eq, isNull } from 'drizzle-orm'
import type { Org } from '../org.js'
import {
  addonCatalog,
  type AddonVariant,
  type NewProjectAddon,
  type ProjectAddon,
  projectAddons,
} from '../schema/addons.js'
import type { Credentials, CredentialSecrets, NewCredentials } from '../schema/credentials.js'
import type {
  Database,
  DatabaseConnectionLog,
  DatabaseSecrets,
  NewDatabase,
  NewDatabaseConnectionLog,
  NewDatabaseMetric,
} from '../schema/databases.js'
import type { ComputeConfig, DiskConfig, NewComputeConfig, NewDiskConfig } from '../schema/infrastructure.js'
import type { NewProjectMetric } from '../schema/project-metrics.js'
import type { NewProject, Project } from '../schema/projects.js'
import { type CatalogEntry, type Given, nextNumber, readGiven, withUnused } from './factory-values.js'

/** The project that a row belongs to. */
export interface InProject {
  readonly projectId: string
}

/** The database that a row belongs to, and its project. */
export interface InDatabase extends InProject {
  readonly databaseId: string
}

interface UnusedAddon extends CatalogEntry {
  readonly variants: readonly AddonVariant[]
}

/** The factories of projects and of what belongs to them. Without `projectId` each makes a project of its own. */
export class ProjectFactories {
  constructor(protected readonly org: Org) {}

  /** `Project 1` with the slug `project-1`, by `org.projects.create`. */
  async project(values?: Given<NewProject>): Promise<Project> {
    const key = this.next('project')
    return this.org.projects.create({ name: titleOf(key), slug: key, ref: key, ...readGiven(values) })
  }

  /** The first add-on of the catalog that the project does not have, in its first variant, by `org.projects.addons.activate`. */
  async addon(values?: Given<NewProjectAddon>): Promise<ProjectAddon> {
    const { projectId = await this.newProjectId(), ...given } = readGiven(values)
    const { addons } = this.org.projects
    if (given.addonId !== undefined) return addons.activate(projectId, { ...given, addonId: given.addonId })
    return withUnused(
      'addonId',
      projectId,
      () => this.unusedAddons(projectId),
      ({ key, variants }) => addons.activate(projectId, { addonVariant: variants[0]?.variant, ...given, addonId: key }),
    )
  }

  /** A small machine, by `org.projects.compute.configure`. */
  async compute(values?: Given<NewComputeConfig>): Promise<ComputeConfig> {
    const { projectId = await this.newProjectId(), ...given } = readGiven(values)
    const usual = { instanceSize: 'small', cpuCores: '2', memoryGb: '4' } as const
    return this.org.projects.compute.configure(projectId, { ...usual, ...given })
  }

  /** Keys such as `anon-key-1`, by `org.projects.credentials.create`. The row is without them; `reveal` gives them. */
  async credentials(values?: Given<NewCredentials & CredentialSecrets>): Promise<Credentials> {
    const number = nextNumber(this.org, 'credentials')
    const { projectId = await this.newProjectId(), ...given } = readGiven(values)
    return this.org.projects.credentials.create(projectId, {
      anonKey: `anon-key-${number}`,
      serviceRoleKey: `service-role-key-${number}`,
      jwtSecret: `jwt-secret-${number}`,
      ...given,
    })
  }

  /** A PostgreSQL database `database-1`, by `org.projects.databases.create`. */
  async database(values?: Given<NewDatabase & DatabaseSecrets>): Promise<Database> {
    const name = this.next('database')
    const { projectId = await this.newProjectId(), ...given } = readGiven(values)
    return this.org.projects.databases.create(projectId, { name, type: 'postgresql', ...given })
  }

  /** An event of a connection, by `org.projects.databases.connections.log`. Without `databaseId` it makes a database. */
  async databaseConnection(values?: Given<NewDatabaseConnectionLog & InDatabase>): Promise<DatabaseConnectionLog> {
    const { projectId, databaseId, ...given } = await this.inDatabase(values)
    return this.org.projects.databases.connections.log(projectId, databaseId, { eventType: 'connected', ...given })
  }

  /**
   * A measurement of a database, by `org.projects.databases.metrics.record`, which gives no row: the result is what was recorded. Without
   * `databaseId` it makes a database.
   */
  async databaseMetric(values?: Given<NewDatabaseMetric & InDatabase>): Promise<NewDatabaseMetric & InDatabase> {
    const { projectId, databaseId, ...given } = await this.inDatabase(values)
    const measured = { metricType: 'connections', value: nextNumber(this.org, 'database metric'), ...given }
    await this.org.projects.databases.metrics.record(projectId, databaseId, [measured])
    return { projectId, databaseId, ...measured }
  }

  /** A disk of 8 GB, by `org.projects.disk.configure`. */
  async disk(values?: Given<NewDiskConfig>): Promise<DiskConfig> {
    const { projectId = await this.newProjectId(), ...given } = readGiven(values)
    const usual = { sizeGb: 8, ioBudget: 3000, autoscaleGrowthPercent: 50 }
    return this.org.projects.disk.configure(projectId, { ...usual, ...given })
  }

  /** A measurement of a project, by `org.projects.metrics.record`, which gives no row: the result is what was recorded. */
  async projectMetric(values?: Given<NewProjectMetric & InProject>): Promise<NewProjectMetric & InProject> {
    const { projectId = await this.newProjectId(), ...given } = readGiven(values)
    const measured = { cpuUsage: '12.5', memoryUsage: '40', ...given }
    await this.org.projects.metrics.record(projectId, [measured])
    return { projectId, ...measured }
  }

  /** `project-1`, then `project-2`. */
  protected next(kind: string): string {
    return `${kind}-${nextNumber(this.org, kind)}`
  }

  protected async newProjectId(): Promise<string> {
    return (await this.project()).id
  }

  private async inDatabase<Values extends InDatabase>(values?: Given<Values>): Promise<Partial<Values> & InDatabase> {
    const given = readGiven<Values>(values)
    const { projectId = await this.newProjectId() } = given as Partial<InDatabase>
    const { databaseId = (await this.database({ projectId })).id } = given as Partial<InDatabase>
    return { ...given, projectId, databaseId }
  }

  private async unusedAddons(projectId: string): Promise<UnusedAddon[]> {
    const used = and(
      eq(projectAddons.addonId, addonCatalog.addonId),
      eq(projectAddons.projectId, projectId),
      eq(projectAddons.status, 'active'),
    )
    return this.org.db
      .select({ key: addonCatalog.addonId, variants: addonCatalog.variants })
      .from(addonCatalog)
      .leftJoin(projectAddons, used)
      .where(and(eq(addonCatalog.active, true), isNull(projectAddons.id)))
      .orderBy(asc(addonCatalog.addonId))
  }
}

/** `project-1` as a name: `Project 1`. */
export const titleOf = (key: string): string => `${key.slice(0, 1).toUpperCase()}${key.slice(1).replaceAll('-', ' ')}`
