import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import { format } from 'node:util'
import { printedOf, textsOf } from './secret-search.js'

/** The names of the library's channels. A test compares them with those in src. */
export const channels = [
  'tenantry:call',
  'tenantry:transaction',
  'tenantry:acquire',
  'tenantry:connect',
  'tenantry:observed',
] as const

const methods = ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir', 'table'] as const
type Call = (...given: unknown[]) => unknown

/**
 * Notes what this process prints, what it warns of, and what the channels publish, until `end`. What is planted is noted and not
 * printed.
 */
export function hear(note: (place: string, text: string) => void, isPlanted: (text: string) => boolean) {
  const undo: (() => void)[] = []
  function replace(holder: object, name: string, by: (call: Call, given: readonly unknown[]) => unknown): void {
    const original = Reflect.get(holder, name) as Call
    const call: Call = (...given) => Reflect.apply(original, holder, given)
    Reflect.set(holder, name, (...given: unknown[]) => by(call, given))
    undo.push(() => Reflect.set(holder, name, original))
  }
  function printed(place: string, text: string, print: () => unknown): unknown {
    note(place, text)
    return isPlanted(text) || print()
  }
  for (const method of methods) {
    replace(console, method, (print, words) =>
      printed('console', [format(...words), ...words.map(textsOf)].join('\n'), () => print(...words)),
    )
  }
  for (const stream of [process.stdout, process.stderr]) {
    replace(stream, 'write', (write, given) => printed('stdout and stderr', String(given[0]), () => write(...given)))
  }
  replace(process, 'emitWarning', (warn, given) =>
    printed('warnings', given.map(textsOf).join('\n'), () => warn(...given)),
  )
  const told = (event: object) => {
    const isFailure = 'error' in event && event.error !== undefined
    note('channels', isFailure ? textsOf(event) : printedOf(event))
  }
  const subscribers = { start: told, end: told, asyncStart: told, asyncEnd: told, error: told }
  for (const name of channels) {
    const heard = (event: unknown) => {
      told(event as object)
    }
    // A tracing channel publishes under other names.
    subscribe(name, heard)
    undo.push(() => unsubscribe(name, heard))
    const channel = tracingChannel<object, object>(name)
    channel.subscribe(subscribers)
    undo.push(() => {
      channel.unsubscribe(subscribers)
    })
  }
  return {
    end: () => {
      for (const back of undo.reverse()) back()
    },
  }
}
