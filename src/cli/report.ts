/** The result of a command: lines for a person, a document for a program. */
export interface Report {
  readonly lines: readonly string[]
  readonly document: object
  /** Default: `fine`. */
  readonly exit?: ExitCode
}

export const exit = {
  fine: 0,
  /** Refused or failed. */
  failed: 1,
  /** Wrong usage: nothing was tried. */
  usage: 2,
  /** It ran, and found faults. */
  findings: 3,
  /** Ctrl-C, or SIGTERM. */
  interrupted: 130,
} as const

export type ExitCode = (typeof exit)[keyof typeof exit]

/** A number with its noun: `counted(2, 'entry', 'entries')` is `2 entries`. */
export const counted = (count: number, one: string, more = `${one}s`): string => `${count} ${count === 1 ? one : more}`
