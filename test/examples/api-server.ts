import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve, type ServerType } from '@hono/node-server'
import { afterAll, beforeAll } from 'vitest'
import { createApp } from '../../examples/api/src/app.js'
import { seed, type Seeded } from '../../examples/api/src/seed.js'
import { useTeams } from '../support/use-teams.js'

interface Document {
  readonly paths: Record<
    string,
    Record<string, { readonly summary: string; readonly responses: Record<string, Answer> }>
  >
  readonly components: { readonly schemas: Record<string, Shape> }
}
interface Answer {
  readonly content: Record<string, { readonly schema: Shape }>
}
interface Shape {
  readonly $ref?: string
  readonly type?: string
  readonly properties?: Record<string, Shape>
  readonly items?: Shape
}

export interface Operation {
  readonly method: string
  readonly path: string
}

export interface Call extends Operation {
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly body?: object | string
}

interface Served {
  readonly server: ServerType
  readonly base: string
  readonly document: Document
  readonly lancio: Seeded
  readonly orbita: Seeded
}

/** The API of the example on a port of its own, with the two organizations of its seed. */
export function useApi() {
  const teams = useTeams()
  let served: Served | undefined
  const api = (): Served => {
    if (served === undefined) throw new Error('call the API in tests and hooks only')
    return served
  }
  beforeAll(async () => {
    const [lancio, orbita] = (await seed(teams.tenancy)) as [Seeded, Seeded]
    const server = serve({ fetch: createApp(teams.tenancy).fetch, port: 0, hostname: '127.0.0.1' })
    await once(server, 'listening')
    const base = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
    const document = (await (await fetch(`${base}/openapi.json`)).json()) as Document
    served = { server, base, document, lancio, orbita }
  })
  afterAll(() => served?.server.close())

  async function call({ method, path, token, headers, body }: Call) {
    const response = await fetch(api().base + path, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const type = response.headers.get('content-type')
    return {
      status: response.status,
      type,
      text,
      body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
    }
  }

  const resolved = (shape: Shape): Shape =>
    api().document.components.schemas[shape.$ref?.split('/').at(-1) ?? ''] ?? shape

  /** The places of the fields in a value that the document does not name. */
  function undocumented(value: unknown, shape: Shape, place = ''): string[] {
    const { properties, items } = resolved(shape)
    if (Array.isArray(value)) return items ? value.flatMap((item) => undocumented(item, items, `${place}[]`)) : []
    if (typeof value !== 'object' || value === null) return []
    return Object.entries(value).flatMap(([name, inner]) => {
      const known = properties?.[name]
      return known === undefined ? [`${place}.${name}`] : undocumented(inner, known, `${place}.${name}`)
    })
  }

  return {
    teams,
    call,
    undocumented,
    get base() {
      return api().base
    },
    get document() {
      return api().document
    },
    get lancio() {
      return api().lancio
    },
    get orbita() {
      return api().orbita
    },
    /** Every operation of the OpenAPI document. */
    get operations(): readonly Operation[] {
      return Object.entries(api().document.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
      )
    },
    /** The documented shape of an answer, references followed. */
    answerOf({ method, path }: Operation, status: '200' | '201' | 'default'): Shape {
      const { content } = api().document.paths[path]?.[method.toLowerCase()]?.responses[status] ?? { content: {} }
      return resolved(content['application/json']?.schema ?? content['application/problem+json']?.schema ?? {})
    },
    get: (path: string, token?: string, headers?: Record<string, string>) =>
      call({
        method: 'GET',
        path: `/api/platform${path}`,
        ...(token !== undefined && { token }),
        ...(headers && { headers }),
      }),
    /** With the key of lancio, below its path. */
    post: (path: string, body: object) =>
      call({
        method: 'POST',
        path: `/api/platform/organizations/lancio${path}`,
        token: api().lancio.key,
        body,
      }),
  }
}
