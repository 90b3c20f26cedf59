export interface Place {
  readonly orgId: string
  readonly id: string
}

/** A library that reads one task within one organization. */
export interface Peer {
  readonly name: string
  /** How many times faster than this tenantry must be: with one read, and with five that one request asks for at once. */
  readonly goal?: number
  readonly goalOfFive?: number
  /** False for what reads the rows of every organization. */
  readonly isIsolated?: boolean
  /** Reads all columns of the task at a place, for a caller of the organization `bound`. */
  read(bound: string, task: Place): Promise<object | null | undefined>
  close(): Promise<void>
}
