export interface Place {
  readonly orgId: string
  readonly id: string
}

/** A library that reads one task within one organization. */
export interface Peer {
  readonly name: string
  /** How many times faster than this tenantry must be. */
  readonly goal?: number
  /** Reads all columns of the task at a place, for a caller of the organization `bound`. */
  read(bound: string, task: Place): Promise<object | null | undefined>
  close(): Promise<void>
}
