import { databaseTime } from '../core/database-time.js'
import { InvalidInputError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { Revealed } from '../core/statements/reveals.js'
import { planOfChildren } from '../core/statements/table-plan.js'
import { ownProperties, parseInput } from '../core/values.js'
import {
  type Credentials,
  credentials,
  type CredentialSecrets,
  credentialSecrets,
  type CredentialSecretsPatch,
  credentialSecretsPatch,
  newCredentials,
} from '../schema/credentials.js'
import { inProject } from '../schema/in-project.js'
import { type Project, projects, projectSecrets } from '../schema/projects.js'
import type { Secret } from '../schema/shared/secret.js'

type SecretName = keyof CredentialSecrets

const all: readonly SecretName[] = ['anonKey', 'serviceRoleKey', 'jwtSecret']
const newWithSecrets = newCredentials.extend(credentialSecrets.shape)
const options = { permission: 'projects' }

/**
 * The keys of projects, one row for each project. They are stored encrypted, and only `reveal` gives them. Those of a deleted project
 * are hidden with it.
 */
export class ProjectCredentials {
  constructor(private readonly scope: Scope) {}

  /** The row without its keys. */
  find(projectId: string): Query<Credentials | undefined> {
    return this.of(projectId).findRow({ projectId })
  }

  /** The row without its keys. Throws NotFoundError. */
  get(projectId: string): Query<Credentials> {
    return this.of(projectId).getRow({ projectId })
  }

  /** Throws ConflictError when the project has keys, BrokenReferenceError when there is no such project. */
  create(projectId: string, secrets: CredentialSecrets): Query<Credentials> {
    const values = () => ({ ...ownProperties(secrets), projectId })
    return this.of(projectId).insertRow(newWithSecrets, values())
  }

  /** Replaces the given keys, and notes when. */
  rotate(projectId: string, secrets: CredentialSecretsPatch): Promise<Credentials> {
    return this.scope.steps(async (scope) => {
      const given = parseInput(credentialSecretsPatch, secrets)
      if (Object.keys(given).length === 0) throw new InvalidInputError('', 'there is no key to replace')
      const rows = this.of(projectId, scope)
      const { id } = await rows.getRow({ projectId })
      const managed = { rotatedAt: await databaseTime(scope) }
      return rows.updateRow(credentialSecretsPatch, id, given, { managed, event: 'rotate' })
    })
  }

  /** The keys as Secrets, or those that are named. Needs `credentials:reveal`. */
  reveal<Name extends SecretName = SecretName>(
    projectId: string,
    names: readonly Name[] = all as readonly Name[],
  ): Promise<Revealed<Name>> {
    return this.of(projectId).revealRow({ projectId }, names, { permission: 'credentials:reveal' })
  }

  /** Stores the password of the project's database. Only `revealDatabasePassword` gives it. */
  setDatabasePassword(projectId: string, password: string | Secret): Query<Project> {
    return this.projects.updateRow(
      projectSecrets,
      projectId,
      { databasePassword: password },
      { event: 'setDatabasePassword' },
    )
  }

  /** The password of the project's database, undefined where none is set. Needs `credentials:reveal`. */
  revealDatabasePassword(projectId: string): Promise<Secret | undefined> {
    const revealed = this.projects.revealRow(parseId(projectId, 'projectId'), ['databasePassword'], {
      permission: 'credentials:reveal',
    })
    return this.scope.track(revealed.then(({ databasePassword }) => databasePassword))
  }

  private get projects(): ScopedTable<Project> {
    return new ScopedTable<Project>(this.scope, projects)
  }

  private of(projectId: string, scope = this.scope): ScopedTable<Credentials> {
    const use = { project: parseId(projectId, 'projectId'), plan: liveOnes() }
    return new ScopedTable<Credentials>(scope, credentials, options, use)
  }
}

const liveOnes = () => planOfChildren(credentials, inProject)
