import { fileURLToPath } from 'node:url'
import { TenantryError } from '../errors.js'
import type { BatchResults, Scope, ScopeContext } from '../scope.js'

/** More than the ten of Node's default: the library's own frames come first, and are left out. */
const frames = 50

/**
 * A scope whose errors have a stack that begins at the caller's line: an error is made when the server's answer comes, where the
 * caller is no longer on the stack. Capturing takes 3 to 7 us a call, so that only a tenancy with `debug: true` has such scopes.
 */
export class DebugScope implements Scope {
  constructor(
    private readonly scope: Scope,
    /** Whether the scope itself handles the rejection of a call that nobody awaits, as a transaction's does. */
    private readonly handles = false,
    private readonly place?: Place,
  ) {}

  get context(): ScopeContext {
    return this.scope.context
  }

  /**
   * The same scope, whose stacks begin at the line that calls this. For Drizzle's builder, which sends its statement from a
   * microtask: there the caller is not on the stack.
   */
  here(): DebugScope {
    return new DebugScope(this.scope, this.handles, capture())
  }

  readonly query: Scope['query'] = (...given) => this.placed(this.scope.query(...given))

  readonly together: Scope['together'] = (...given) => this.placed(this.scope.together(...given))

  readonly transaction: Scope['transaction'] = (work, options) =>
    this.placed(this.scope.transaction((inner) => work(new DebugScope(inner, true)), options))

  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>> {
    return this.placed(this.scope.batch(collect))
  }

  private placed<Sent extends Promise<unknown>>(sent: Sent): Sent {
    const place = this.place ?? capture()
    const placed = sent.catch((error: unknown) => {
      if (error instanceof TenantryError) placeAt(error, place)
      throw error
    }) as Sent
    if (this.handles) placed.catch(() => undefined)
    return placed
  }
}

const placed = new WeakSet<TenantryError>()

/** Once: the innermost call that failed is the one to look at, and not the transaction around it. */
function placeAt(error: TenantryError, place: Place): void {
  if (placed.has(error)) return
  placed.add(error)
  error.stack = `${error.name}: ${error.message}\n${framesOf(place)}`
}

/** A captured stack. Its text is made when it is read, which takes twenty times as long as to capture it. */
interface Place {
  readonly stack?: string
}

function capture(): Place {
  const place: Place = {}
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = frames
  Error.captureStackTrace(place, capture)
  Error.stackTraceLimit = limit
  return place
}

/** From the first frame on that is not the library's. */
function framesOf({ stack = '' }: Place): string {
  const lines = stack.split('\n').filter((line) => line.startsWith('    at '))
  const first = lines.findIndex((line) => !isInternal(line))
  // In a bundle everything is one file, so that nothing is known to be the caller's.
  return lines.slice(Math.max(0, first)).join('\n')
}

/** The folder of this library, as the stack of a module and as that of a file names it. */
let folder: readonly [string, string] | undefined

function isInternal(line: string): boolean {
  const url = new URL('../..', import.meta.url)
  folder ??= [url.href, fileURLToPath(url)]
  return (
    folder.some((name) => line.includes(name)) ||
    /[/\\]node_modules[/\\]drizzle-orm[/\\]|\bnode:|<anonymous>/.test(line)
  )
}
