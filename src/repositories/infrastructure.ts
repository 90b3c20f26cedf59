import { ConflictError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { planOfChildren } from '../core/statements/table-plan.js'
import type { Guard } from '../core/statements/guard.js'
import { ownProperties } from '../core/values.js'
import {
  type ComputeConfig,
  computeConfig,
  type DiskConfig,
  diskConfig,
  type NewComputeConfig,
  newComputeConfig,
  type NewDiskConfig,
  newDiskConfig,
} from '../schema/infrastructure.js'
import { inProject } from '../schema/in-project.js'

export interface DiskValues extends Omit<NewDiskConfig, 'projectId'> {}
export interface ComputeValues extends Omit<NewComputeConfig, 'projectId'> {}

const ofDisks = { permission: 'projects', limit: { name: 'disk_gb', sum: 'sizeGb' } }
const ofComputes = { permission: 'projects' }

const onlyGrows: Guard = {
  when: `"disk_config"."size_gb" <= excluded."size_gb"`,
  ask: '"size_gb"',
  refuse: ([size]) =>
    new ConflictError('disk_config', ['sizeGb'], `disk_config: a disk only grows, and this one has ${String(size)} GB`),
}

/** The disks of projects, one for each project. That of a deleted project is hidden with it. */
export class ProjectDisk {
  constructor(private readonly scope: Scope) {}

  find(projectId: string): Query<DiskConfig | undefined> {
    return this.of(projectId).findRow({ projectId })
  }

  /** Throws NotFoundError. */
  get(projectId: string): Query<DiskConfig> {
    return this.of(projectId).getRow({ projectId })
  }

  /**
   * Makes the disk or changes it. Optional fields that are not given keep their values; the others are needed each time. The gigabytes of
   * all live projects count towards `disk_gb` of the plan. Throws PlanLimitError when the plan has no room, ConflictError for a size below
   * the present one, BrokenReferenceError when there is no such project.
   */
  configure(projectId: string, values: DiskValues): Query<DiskConfig> {
    const given = { ...ownProperties(values), projectId }
    const options = { guard: onlyGrows, event: 'configure' }
    return this.of(projectId).putRow(newDiskConfig, given, 'disk_config_project_key', options)
  }

  private of(projectId: string): ScopedTable<DiskConfig> {
    const use = { project: parseId(projectId, 'projectId'), plan: planOfChildren(diskConfig, inProject) }
    return new ScopedTable<DiskConfig>(this.scope, diskConfig, ofDisks, use)
  }
}

/** The machines of projects, one for each project. That of a deleted project is hidden with it. */
export class ProjectCompute {
  constructor(private readonly scope: Scope) {}

  find(projectId: string): Query<ComputeConfig | undefined> {
    return this.of(projectId).findRow({ projectId })
  }

  /** Throws NotFoundError. */
  get(projectId: string): Query<ComputeConfig> {
    return this.of(projectId).getRow({ projectId })
  }

  /** Says what the project's machine is, for the first time or anew. Throws BrokenReferenceError when there is no such project. */
  configure(projectId: string, values: ComputeValues): Query<ComputeConfig> {
    const given = { ...ownProperties(values), projectId }
    return this.of(projectId).putRow(newComputeConfig, given, 'compute_config_project_key', { event: 'configure' })
  }

  private of(projectId: string): ScopedTable<ComputeConfig> {
    const use = { project: parseId(projectId, 'projectId'), plan: planOfChildren(computeConfig, inProject) }
    return new ScopedTable<ComputeConfig>(this.scope, computeConfig, ofComputes, use)
  }
}
