import { TimeoutError } from './errors.js'

export const aborted = (): TimeoutError => new TimeoutError('the call was aborted; nothing of it was written')

/** The promise, or a TimeoutError as soon as the signal is aborted. The work itself is not stopped. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  if (signal.aborted) {
    // Nobody waits for it any more, so its failure is nobody's.
    promise.catch(() => undefined)
    throw aborted()
  }
  let unlisten: (() => void) | undefined
  const abort = new Promise<never>((_, reject) => {
    unlisten = onAbort(signal, () => {
      reject(aborted())
    })
  })
  try {
    return await Promise.race([promise, abort])
  } finally {
    unlisten?.()
  }
}

interface Shared {
  readonly listeners: Set<() => void>
  readonly dispatch: () => void
}

const shared = new WeakMap<AbortSignal, Shared>()

/**
 * Calls `listener` when the signal is aborted. The returned function takes the listener away. All calls share one listener on the
 * signal, because Node warns of a leak from the eleventh on.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const { listeners, dispatch } = shared.get(signal) ?? listen(signal)
  listeners.add(listener)
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return
    signal.removeEventListener('abort', dispatch)
    shared.delete(signal)
  }
}

function listen(signal: AbortSignal): Shared {
  const listeners = new Set<() => void>()
  const dispatch = (): void => {
    shared.delete(signal)
    for (const listener of listeners) listener()
  }
  const made = { listeners, dispatch }
  signal.addEventListener('abort', dispatch, { once: true })
  shared.set(signal, made)
  return made
}
