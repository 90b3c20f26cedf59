import { parseId } from '../core/ids.js'
import { NotFoundError } from '../core/errors.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { withCondition } from '../core/statements/filters.js'
import type { ListOptions, PageContent, PageOf } from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { planOfChildren } from '../core/statements/table-plan.js'
import { ownProperties, parseInput } from '../core/values.js'
import { newProjectMember, type ProjectMember, projectMembers } from '../schema/project-members.js'
import { inProject } from '../schema/in-project.js'
import { actingUser, assertHoldsRole, grantableRole, lockForManagement, parseRole } from './role-rights.js'
import * as shape from '../schema/shared/shapes.js'

const permission = 'projects'

/**
 * The members of projects. A role in a project adds to the role in the organization, for that project alone. With an actor, nobody
 * gives, changes or takes a role that has permissions which the actor lacks in that project. Those of a deleted project are hidden with it.
 */
export class ProjectMembers {
  constructor(private readonly scope: Scope) {}

  list<Name extends Field<ProjectMember> = Field<ProjectMember>, Total extends boolean = false>(
    projectId: string,
    options?: ListOptions<ProjectMember> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<ProjectMember, Name>, Total>> {
    return this.of(projectId).list(withCondition(options, { projectId: parseId(projectId, 'projectId') }))
  }

  find(projectId: string, userId: string): Query<ProjectMember | undefined> {
    return this.of(projectId).findRow({ projectId, userId })
  }

  /** Throws ConflictError when the person is a member of the project, BrokenReferenceError when they are none of the organization. */
  add(projectId: string, values: { readonly userId: string; readonly role: string }): Promise<ProjectMember> {
    return this.managing(projectId, async (rows, scope) => {
      const given = parseInput(newProjectMember, { ...ownProperties(values), projectId })
      await lockForManagement(scope, { permission, project: projectId })
      await grantableRole(scope, given.role, { permission, project: given.projectId })
      const managed = { addedBy: actingUser(scope) ?? null }
      return rows.insertRow(newProjectMember, given, { managed, event: 'add' })
    })
  }

  changeRole(projectId: string, userId: string, role: string): Promise<ProjectMember> {
    return this.managing(projectId, async (rows, scope) => {
      const wanted = parseRole(role)
      const member = await this.held(rows, scope, projectId, userId)
      const { key } = await grantableRole(scope, wanted, { permission, project: projectId })
      return rows.updateRow(shape.noInput, member.id, {}, { managed: { role: key }, event: 'changeRole' })
    })
  }

  /** It takes effect at the member's next request. */
  remove(projectId: string, userId: string): Promise<ProjectMember> {
    return this.managing(projectId, async (rows, scope) =>
      rows.deleteRow((await this.held(rows, scope, projectId, userId)).id),
    )
  }

  private of(projectId: string, scope = this.scope): ScopedTable<ProjectMember> {
    const plan = planOfChildren(projectMembers, inProject)
    return new ScopedTable<ProjectMember>(scope, projectMembers, { permission }, { project: projectId, plan })
  }

  private managing<T>(
    projectId: string,
    work: (rows: ScopedTable<ProjectMember>, scope: Scope) => Promise<T>,
  ): Promise<T> {
    return this.scope.steps(async (scope) => {
      scope.context.rules.authorize(`${permission}:write`, projectId)
      return work(this.of(parseId(projectId, 'projectId'), scope), scope)
    })
  }

  /** Locks the organization and reads the member. Throws ForbiddenError when the actor lacks a permission of the role in the project. */
  private async held(
    rows: ScopedTable<ProjectMember>,
    scope: Scope,
    projectId: string,
    userId: string,
  ): Promise<ProjectMember> {
    const managing = { permission, project: projectId }
    const key = { projectId, userId: parseId(userId, 'userId') }
    await lockForManagement(scope, managing)
    const member = await rows.findRow(key)
    if (member === undefined) throw new NotFoundError('project_members')
    await assertHoldsRole(scope, member.role, managing)
    return member
  }
}
