import { aborted, onAbort } from '../abort.js'

/** The longest pause in milliseconds before the first retry, and before any retry. */
const shortest = 20
const longest = 1_000

/**
 * A random pause, up to twice as long before each further retry, so that two transactions that were in each other's way do not
 * start again at the same moment.
 */
export const pauseLength = (retry: number): number => Math.random() * Math.min(longest, shortest * 2 ** (retry - 1))

/** Rejects when the signal is aborted meanwhile. */
export async function pauseBefore(retry: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) throw aborted()
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      stop?.()
      resolve()
    }, pauseLength(retry))
    const stop =
      signal &&
      onAbort(signal, () => {
        clearTimeout(timer)
        reject(aborted())
      })
  })
}
