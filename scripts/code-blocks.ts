import { join } from 'node:path'
import ts from 'typescript'

/** A TypeScript block of a document, as a file in memory for the compiler. */
export interface CodeBlock {
  readonly document: string
  /** The line of the document at which the block begins. */
  readonly line: number
  readonly file: string
  readonly text: string
}

/** Imports such as './schema.js' refer to the example that the document describes. */
const example = 'examples/your-own-tables/src'

export function codeBlocks(document: string, text: string): CodeBlock[] {
  return [...text.matchAll(/^```ts\n(.*?)^```/gms)].flatMap(({ 1: code = '', index }, number) => {
    // The block is abridged, as its ellipsis shows.
    if (code.includes('// …')) return []
    const line = text.slice(0, index).split('\n').length + 1
    const file = `${example}/${document.replace(/\W/g, '-')}-${number}.ts`
    return [{ document, line, file, text: whole(code) }]
  })
}

/** Makes a module of a single value or method. It adds no lines, so that the line numbers stay the same. */
function whole(code: string): string {
  if (code.startsWith('{')) return `void (${code})`
  if (/^\w+\(.*\): .* \{\n/.test(code)) return `void class extends ScopedRepository<Ticket> {${code}}`
  return code
}

/** Names that the documents use without importing them in the block, because an earlier block did or the reader has them. */
const names = `
declare const session: { readonly orgId: string }
declare const request: { readonly query: { readonly cursor: string | undefined } }
declare const log: { info(what: object): void; error(what: object): void }
declare const otherOrgId: string
declare const key: string
declare const body: unknown
declare const id: string
declare const ada: import('tenantry/schema').Agent
declare const bob: import('tenantry/schema').Agent
declare const tools: readonly string[]
declare const ticketId: string
declare const agentId: string
declare const { orgId, userId, customerId, projectId, supporterId, providerId, sessionId }: Readonly<
  Record<'orgId' | 'userId' | 'customerId' | 'projectId' | 'supporterId' | 'providerId' | 'sessionId', string>
>
declare const { ip, userAgent, token, refreshToken }: Readonly<Record<'ip' | 'userAgent' | 'token' | 'refreshToken', string>>
declare const { inTenMinutes, tomorrow }: Readonly<Record<'inTenMinutes' | 'tomorrow', Date>>
declare const tenancy: import('tenantry').Tenancy
declare const checkPassword: (email: string, password: string) => Promise<string | undefined>
declare const user: import('tenantry').User
declare const apiKey: import('tenantry/schema').ApiKey
declare const org: import('tenantry').Org
declare const tx: import('tenantry').Org
declare const { eq, relations }: typeof import('drizzle-orm')
declare const { z }: typeof import('zod')
declare const { fileURLToPath }: typeof import('node:url')
declare const { Hono }: typeof import('hono')
declare const { default: Stripe }: typeof import('stripe')
declare const { stripeWebhook }: typeof import('../../stripe-webhook.js')
declare const { defineRepository, openTenancy, ScopedRepository }: typeof import('tenantry')
declare const { agents, declareTable }: typeof import('tenantry/schema')
declare const replies: typeof import('./schema.js').tickets
declare const schema: typeof import('./schema.js')
declare const { newTicket, ticketPatch, tickets }: typeof import('./schema.js')
declare const { Tickets }: typeof import('./tickets.js')
type Query<T> = import('tenantry').Query<T>
type Scope = import('tenantry').Scope
type Ticket = import('./schema.js').Ticket
`

/** The files on the disk, which all programs of a process have in common. */
const parsed = new Map<string, ts.SourceFile | undefined>()

/** A compiler program of the library and the blocks. */
export function programOf(root: string, blocks: readonly CodeBlock[]): ts.Program {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: object
  }
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: ['src/index.ts'], include: [] }, ts.sys, root)
  const given = new Map([
    [join(root, example, 'names.d.ts'), names],
    ...blocks.map(({ file, text }): [string, string] => [join(root, file), text]),
  ])
  const disk = ts.createCompilerHost(options)
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (path) => given.has(path) || disk.fileExists(path),
    readFile: (path) => given.get(path) ?? disk.readFile(path),
    getSourceFile: (path, target) => {
      const text = given.get(path)
      if (text !== undefined) return ts.createSourceFile(path, text, target)
      const source = parsed.get(path) ?? disk.getSourceFile(path, target)
      parsed.set(path, source)
      return source
    },
  }
  const sources = ['index', 'hono', 'openfeature', 'testing/index'].map((name) => join(root, `src/${name}.ts`))
  const rootNames = [...sources, ...given.keys()]
  return ts.createProgram({ rootNames, host, options })
}

/** The compiler errors of the blocks, by the lines of their documents. */
export function blockFaults(program: ts.Program, blocks: readonly CodeBlock[]): string[] {
  return blocks.flatMap(({ document, line, file, text }) => {
    const source = program.getSourceFiles().find(({ fileName }) => fileName.endsWith(file))
    return ts.getPreEmitDiagnostics(program, source).map(({ start, messageText }) => {
      const within = text.slice(0, start).split('\n').length - 1
      return `${document}:${line + within}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    })
  })
}
