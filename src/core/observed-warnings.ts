import { observedChannel, type ObservedEvent } from './tracing.js'

/** The SQLSTATEs of the warnings that the policy of an observed table raises. */
export const observedStates = { TN101: 'unbound', TN102: 'another' } as const

/** A warning of the server, or any other notice. */
export interface Notice {
  readonly code?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
}

/** The event for a warning about an observed table; undefined for any other notice, and while nobody listens. */
export function observedEvent({ code = '', schema, table }: Notice): ObservedEvent | undefined {
  if (!observedChannel.hasSubscribers || schema === undefined || table === undefined) return undefined
  if (!Object.hasOwn(observedStates, code)) return undefined
  return { schema, table, kind: observedStates[code as keyof typeof observedStates] }
}
