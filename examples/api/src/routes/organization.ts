import { z } from '@hono/zod-openapi'
import { newApiKey, newInvitation, organizationPatch } from 'tenantry/schema'
import { body, group, route } from '../route.js'
import {
  ApiKey,
  AuditEntry,
  CreatedApiKey,
  InOrganization,
  Invitation,
  Member,
  Organization,
  page,
  PageOf,
  SentInvitation,
  WithId,
} from '../shapes.js'

const tag = 'Organization'
const keyHolder =
  'The member that the key is for. A person may leave it out, and gets the key; a key has to name a service here'
const list = { params: InOrganization, query: PageOf }

/** The organization, its people, keys and audit log. */
export const organization = () =>
  group()
    .openapi(
      route('get', { path: '/', tag, summary: 'The organization' }, Organization, { params: InOrganization }),
      async (c) => c.json(await c.var.organization.organization.get(), 200),
    )
    .openapi(
      route('patch', { path: '/', tag, summary: 'Change the organization' }, Organization, {
        params: InOrganization,
        body: body(organizationPatch),
      }),
      async (c) => c.json(await c.var.organization.organization.update(c.req.valid('json')), 200),
    )
    .openapi(route('get', { path: '/members', tag, summary: 'Its members' }, page(Member), list), async (c) =>
      c.json(await c.var.organization.members.list(c.req.valid('query')), 200),
    )
    .openapi(
      route('delete', { path: '/members/{id}', tag, summary: 'Remove a member' }, Member, { params: WithId }),
      async (c) => c.json(await c.var.organization.members.remove(c.req.valid('param').id), 200),
    )
    .openapi(
      route('get', { path: '/invitations', tag, summary: 'Its invitations' }, page(Invitation), list),
      async (c) => c.json(await c.var.organization.invitations.list(c.req.valid('query')), 200),
    )
    .openapi(
      route('post', { path: '/invitations', tag, summary: 'Invite somebody' }, SentInvitation, {
        params: InOrganization,
        body: body(newInvitation),
      }),
      async (c) => c.json(await c.var.organization.invitations.create(c.req.valid('json')), 201),
    )
    .openapi(
      route('delete', { path: '/invitations/{id}', tag, summary: 'Revoke an invitation' }, Invitation, {
        params: WithId,
      }),
      async (c) => c.json(await c.var.organization.invitations.revoke(c.req.valid('param').id), 200),
    )
    .openapi(route('get', { path: '/api-keys', tag, summary: 'Its API keys' }, page(ApiKey), list), async (c) =>
      c.json(await c.var.organization.apiKeys.list(c.req.valid('query')), 200),
    )
    .openapi(
      route('post', { path: '/api-keys', tag, summary: 'Make an API key' }, CreatedApiKey, {
        params: InOrganization,
        body: body(newApiKey.extend({ userId: z.uuid().optional().openapi({ description: keyHolder }) })),
      }),
      async (c) => c.json(await c.var.organization.apiKeys.create(c.req.valid('json')), 201),
    )
    .openapi(
      route('delete', { path: '/api-keys/{id}', tag, summary: 'Revoke an API key' }, ApiKey, { params: WithId }),
      async (c) => c.json(await c.var.organization.apiKeys.revoke(c.req.valid('param').id), 200),
    )
    .openapi(
      route('get', { path: '/audit', tag, summary: 'Who changed what' }, page(AuditEntry), {
        params: InOrganization,
        query: PageOf.extend({ resourceType: z.string().optional(), resourceId: z.string().optional() }),
      }),
      async (c) => c.json(await c.var.organization.audit.list(c.req.valid('query')), 200),
    )
