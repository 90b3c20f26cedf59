import { projects } from './projects.js'

/** The parent of rows that belong to a project and are hidden with it. */
export const inProject = { property: 'projectId', parent: projects }
