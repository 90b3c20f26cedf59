import type { Notice } from '../core/observed-warnings.js'
import { cancel } from './cancel.js'
import { type DriverClient, isUnaskedMessage, neverAsked } from './driver.js'
import { bindComplete, parseComplete, type Pipeline } from './pipeline.js'
import type { Wire, WireListener } from './wire.js'

interface SettingReport {
  readonly parameterName: string
  readonly parameterValue: string
}

/** The connection of a client in a pool of the host's: pg reads and writes, and the host may use the client in between. */
export class PgWire implements Wire {
  readonly takesSeveral = false

  constructor(private readonly client: DriverClient) {}

  get isReady(): boolean {
    return this.client.readyForQuery && this.client.getTransactionStatus() === 'I'
  }

  get processID(): number | null {
    return this.client.processID
  }

  listen(listener: WireListener): void {
    const { client } = this
    const { connection } = client
    /** Undefined for a query of the host's. */
    const answering = (): Pipeline | undefined => {
      if (client.readyForQuery) {
        listener.onMisfit()
        return undefined
      }
      return listener.active?.sent === true ? listener.active : undefined
    }
    // Once per connection, never per checkout. Without a listener for 'error' the process would die with the backend.
    client.on('error', (error) => {
      if (isUnaskedMessage(error)) listener.onMisfit()
      else listener.onFailure(error)
    })
    // Before pg's own listener: after it, nothing tells whether a query was under way.
    connection.prependListener('readyForQuery', ({ status }: { status: string }) => {
      const pipeline = answering()
      if (pipeline === undefined) return
      pipeline.handleReady(status)
      listener.onAnswered(status)
    })
    connection.on('parseComplete', () => answering()?.handlePart(parseComplete))
    connection.on('bindComplete', () => answering()?.handlePart(bindComplete))
    connection.on('noData', () => answering()?.handleNoData())
    connection.on('closeComplete', () => answering()?.handleClose())
    connection.on('notice', (notice: Notice) => listener.active?.handleNotice(notice))
    for (const message of neverAsked) connection.on(message, () => answering()?.misunderstand())
    connection.on('parameterStatus', ({ parameterName, parameterValue }: SettingReport) => {
      listener.onSetting(parameterName, parameterValue)
    })
    connection.once('end', () => {
      listener.onEnd()
    })
  }

  send(pipeline: Pipeline): void {
    this.client.query(pipeline)
  }

  cancel(): Promise<boolean> {
    return cancel(this.client)
  }

  destroy(): void {
    this.client.connection.stream.destroy()
  }
}
