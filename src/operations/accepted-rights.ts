import type { ActorFacts } from '../core/actor.js'

/** The rights in an answer of `accept_session` or `accept_api_key`: permissions with a space between, and those in projects as JSON. */
export const acceptedRights = (permissions: string, projects = ''): Pick<ActorFacts, 'permissions' | 'projects'> => ({
  permissions: permissions === '' ? [] : permissions.split(' '),
  projects: projects === '' ? undefined : (JSON.parse(projects) as Record<string, string[]>),
})
