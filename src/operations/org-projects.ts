import { ProjectCredentials } from '../repositories/credentials.js'
import { ProjectDatabases } from '../repositories/databases.js'
import { ProjectCompute, ProjectDisk } from '../repositories/infrastructure.js'
import { ProjectMetrics } from '../repositories/project-metrics.js'
import { Projects } from '../repositories/projects.js'
import { ProjectAddons } from './project-addons.js'
import { ProjectMembers } from './project-members.js'

/** The projects with their members, keys and infrastructure. */
export class OrgProjects extends Projects {
  /** The paid extras of projects. */
  get addons(): ProjectAddons {
    return new ProjectAddons(this.scope)
  }

  /** The machines of projects. */
  get compute(): ProjectCompute {
    return new ProjectCompute(this.scope)
  }

  /** The keys of projects. */
  get credentials(): ProjectCredentials {
    return new ProjectCredentials(this.scope)
  }

  /** The databases of projects. */
  get databases(): ProjectDatabases {
    return new ProjectDatabases(this.scope)
  }

  /** The disks of projects. */
  get disk(): ProjectDisk {
    return new ProjectDisk(this.scope)
  }

  /** The members of projects. */
  get members(): ProjectMembers {
    return new ProjectMembers(this.scope)
  }

  /** The measurements of projects. */
  get metrics(): ProjectMetrics {
    return new ProjectMetrics(this.scope)
  }
}
