import { z } from '@hono/zod-openapi'
import { NotFoundError, type Org } from 'tenantry'
import type { Project as ProjectRow } from 'tenantry/schema'
import { group, route } from '../route.js'
import { AddonBill, Chosen, InProject, MetricBucket, Project } from '../shapes.js'

const tag = 'Projects'
const inProject = { params: InProject, headers: Chosen }
const day = 24 * 60 * 60 * 1000

/** One project of the organization, by its ref. */
export const projects = () =>
  group()
    .openapi(route('get', { path: '/{ref}', tag, summary: 'The project' }, Project, inProject), async (c) =>
      c.json(await projectOf(c.var.organization, c.req.valid('param').ref), 200),
    )
    .openapi(
      route(
        'get',
        { path: '/{ref}/billing/addons', tag, summary: 'Its add-ons and what they cost' },
        AddonBill,
        inProject,
      ),
      async (c) => {
        const org = c.var.organization
        const { id } = await projectOf(org, c.req.valid('param').ref)
        return c.json(await org.projects.addons.list(id), 200)
      },
    )
    .openapi(
      route('get', { path: '/{ref}/infra-monitoring', tag, summary: 'How its machine does' }, z.array(MetricBucket), {
        ...inProject,
        query: z.strictObject({
          from: z.iso.datetime({ offset: true }).optional().openapi({ description: 'Default: a day ago' }),
          to: z.iso.datetime({ offset: true }).optional().openapi({ description: 'Default: now' }),
          step: z.coerce.number().int().min(1).default(3600).openapi({ description: 'In seconds' }),
        }),
      }),
      async (c) => {
        const org = c.var.organization
        const { id } = await projectOf(org, c.req.valid('param').ref)
        const { from, to, step } = c.req.valid('query')
        const until = to === undefined ? new Date() : new Date(to)
        const since = from === undefined ? new Date(until.getTime() - day) : new Date(from)
        return c.json(await org.projects.metrics.query(id, { from: since, to: until, step }), 200)
      },
    )

async function projectOf(org: Org, ref: string): Promise<ProjectRow> {
  const project = await org.projects.findByRef(ref)
  if (project === undefined) throw new NotFoundError('projects')
  return project
}
