import { fileURLToPath } from 'node:url'
import { TenantryError } from '../errors.js'
import type { BatchResults, Scope, ScopeContext } from '../scope.js'

/** More than the ten of Node's default: the library's own frames come first, and are left out. */
const frames = 50

/**
 * A scope that makes the stack of an error begin at the caller's line. Without it the stack begins where the server's answer is
 * read. Capturing takes 3 to 7 µs a call, so only a tenancy with `debug: true` has such scopes.
 */
export class DebugScope implements Scope {
  constructor(
    private readonly scope: Scope,
    /** Whether it is a transaction's scope, whose promises know whether anybody awaits them. */
    private readonly isInner = false,
    /** Where to look for the caller when a call comes from a microtask. */
    private readonly origin?: Place,
  ) {}

  get context(): ScopeContext {
    return this.scope.context
  }

  get isDirect(): boolean {
    return this.scope.isDirect
  }

  /** The same scope for Drizzle's builder, which sends its statement from a microtask: the caller is the one who calls this. */
  here(): DebugScope {
    return new DebugScope(this.scope, this.isInner, capture())
  }

  readonly query: Scope['query'] = (...given) => this.placed(this.scope.query(...given), capture())

  readonly transaction: Scope['transaction'] = (work, options) => {
    // Anything but a function is passed on: the scope rejects it with the reason.
    const own: typeof work = isFunction(work) ? (inner) => work(new DebugScope(inner, true)) : work
    return this.placed(this.scope.transaction(own, options), capture())
  }

  readonly steps: Scope['steps'] = (work, ended) => {
    const place = capture()
    return this.placed(
      this.scope.steps((inner) => work(new DebugScope(inner, true, place)), ended),
      place,
    )
  }

  readonly track: Scope['track'] = (promise) => this.scope.track(promise)

  batch<Calls extends readonly unknown[]>(collect: (scope: Scope) => Calls): Promise<BatchResults<Calls>> {
    return this.placed(this.scope.batch(collect), capture())
  }

  private placed<Sent extends Promise<unknown>>(sent: Sent, place: Place): Sent {
    const { origin } = this
    if (this.isInner) {
      // The method of the class itself: with that of the promise, the call would count as awaited.
      void Promise.prototype.then.call(sent, undefined, (error: unknown) => {
        placeAt(error, place, origin)
      })
      return sent
    }
    return sent.catch((error: unknown) => {
      placeAt(error, place, origin)
      throw error
    }) as Sent
  }
}

const isFunction = (value: unknown): boolean => typeof value === 'function'

const placed = new WeakSet<TenantryError>()

/** Once: the innermost call that failed is the one to look at, and not the transaction around it. */
function placeAt(error: unknown, place: Place, origin: Place | undefined): void {
  if (!(error instanceof TenantryError) || placed.has(error)) return
  placed.add(error)
  error.stack = `${error.name}: ${error.message}\n${framesOf(place, origin)}`
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

/** The frames from the first one outside of the library. In a bundle of one file all frames count as the caller's. */
function framesOf({ stack = '' }: Place, origin: Place | undefined): string {
  const lines = stack.split('\n').filter((line) => line.startsWith('    at '))
  const first = lines.findIndex((line) => !isInternal(line))
  if (first === -1 && origin !== undefined) return framesOf(origin, undefined)
  return lines.slice(Math.max(0, first)).join('\n')
}

/**
 * The folders of this library, as the stack of a module and as that of a file names them. With source maps, stacks name the sources
 * beside the compiled files.
 */
let folders: readonly string[] | undefined

function isInternal(line: string): boolean {
  folders ??= ['../..', '../../../src/'].flatMap((path) => {
    const url = new URL(path, import.meta.url)
    return [url.href, fileURLToPath(url)]
  })
  return folders.some((name) => line.includes(name)) || elsewhere.test(line)
}

/** Node and Drizzle. Drizzle's source maps name its sources as if they were in node_modules/src. */
const elsewhere = /[/\\]node_modules[/\\](?:drizzle-orm|src)[/\\]|\bnode:|<anonymous>/
