import type { Duplex } from 'node:stream'
import { answer, errorIn, messageTypes, noticeIn, settingIn } from './answers.js'
import { cancel } from './cancel.js'
import type { DriverClient } from './driver.js'
import { MessageReader } from './message-reader.js'
import type { Pipeline } from './pipeline.js'
import type { StreamTap } from './stream-tap.js'
import type { Wire, WireListener } from './wire.js'

/** X, and its length. */
const terminate = Buffer.from([0x58, 0, 0, 0, 4])

/**
 * The connection of a client that pg has opened and authenticated. From then on pg reads and writes nothing more: its emitter and its
 * message objects cost a third of a short call.
 */
export class OwnWire implements Wire {
  private readonly stream: Duplex & { ref?: () => void; unref?: () => void }
  private listener!: WireListener
  readonly takesSeveral = true
  /** How many pipelines were sent that the server has not answered. */
  private unanswered = 0
  private isGone = false
  private isCorked = false
  private status = 'I'

  constructor(
    private readonly client: DriverClient,
    tap: StreamTap,
    onClose: () => void,
  ) {
    const reader = new MessageReader((type, bytes, start, end) => {
      if (!this.isGone) this.receive(type, bytes, start, end)
    })
    this.stream = tap.take(client, (bytes, length) => {
      if (!this.isGone && !reader.push(bytes, length)) this.listener.onMisfit()
    })
    this.stream.on('error', (error: Error) => {
      this.listener.onFailure(error)
    })
    this.stream.once('close', () => {
      this.isGone = true
      this.listener.onEnd()
      onClose()
    })
  }

  get isReady(): boolean {
    return this.unanswered === 0 && this.status === 'I' && !this.isGone
  }

  get processID(): number | null {
    return this.client.processID
  }

  listen(listener: WireListener): void {
    this.listener = listener
  }

  send(pipeline: Pipeline): void {
    if (!this.stream.writable) {
      pipeline.settle(undefined)
      return
    }
    // Those that are sent behind others in the same tick go out in one write.
    if (this.unanswered++ > 0 && !this.isCorked) this.cork()
    this.stream.write(pipeline.take())
  }

  private cork(): void {
    this.isCorked = true
    this.stream.cork()
    process.nextTick(uncork, this)
  }

  uncork(): void {
    this.isCorked = false
    this.stream.uncork()
  }

  cancel(): Promise<boolean> {
    return cancel(this.client)
  }

  destroy(): void {
    this.isGone = true
    this.stream.destroy()
  }

  /** Takes leave of the server. */
  end(): void {
    if (this.isGone) return
    this.isGone = true
    this.stream.write(terminate)
    this.stream.end(() => this.stream.destroy())
  }

  /** Whether the process stays for the sake of this connection. */
  hold(isHeld: boolean): void {
    if (isHeld) this.stream.ref?.()
    else this.stream.unref?.()
  }

  private receive(type: number, bytes: Buffer, start: number, end: number): void {
    const { listener } = this
    switch (type) {
      case messageTypes.parameterStatus:
        listener.onSetting(...settingIn(bytes, start, end))
        return
      case messageTypes.notice:
        listener.active?.handleNotice(noticeIn(bytes, start, end))
        return
      case messageTypes.notification:
        return
    }
    const pipeline = this.unanswered > 0 ? listener.active : undefined
    // The server ends the session, also while an earlier error has not been answered wholly.
    if (type === messageTypes.error && (pipeline === undefined || pipeline.error !== undefined))
      listener.onFailure(errorIn(bytes, start, end))
    else if (pipeline === undefined) listener.onMisfit()
    else {
      const isLast = type === messageTypes.readyForQuery
      if (isLast) {
        this.unanswered--
        this.status = String.fromCharCode(bytes[start] as number)
      }
      answer(pipeline, type, bytes, start, end)
      if (!pipeline.isUnderstood) listener.onMisfit()
      else if (isLast) listener.onAnswered(this.status)
    }
  }
}

const uncork = (wire: OwnWire): void => {
  wire.uncork()
}
