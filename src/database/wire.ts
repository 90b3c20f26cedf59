import type { Pipeline } from './pipeline.js'

/** What carries the messages of one connection. */
export interface Wire {
  /** Whether a pipeline may be sent before the ones in front of it are answered. */
  readonly takesSeveral: boolean
  /** Nothing is under way, and the server is outside of a transaction. */
  readonly isReady: boolean
  /** The server's number of the session. Null when it, or a pooler, gave none. */
  readonly processID: number | null
  /** What arrives is told to this listener from now on. */
  listen(listener: WireListener): void
  send(pipeline: Pipeline): void
  /** Resolves to true when the server has closed the request to cancel. After false it may still arrive. */
  cancel(): Promise<boolean>
  /** Ends the connection at once. */
  destroy(): void
}

export interface WireListener {
  /** The pipeline that is being answered; where none is, the one that was answered last, until its caller goes on. */
  readonly active: Pipeline | undefined
  /** The server is ready for the pipeline behind the active one. `status` is that of its transaction. */
  onAnswered(status: string | undefined): void
  /** The server ended the session while nothing ran, or the socket failed. */
  onFailure(error: Error): void
  /** A message came that answers nothing, or that nobody can read. */
  onMisfit(): void
  /** The server reports another value of a setting, before the ReadyForQuery of the statement that changed it. */
  onSetting(name: string, value: string): void
  /** The socket is gone. */
  onEnd(): void
}
