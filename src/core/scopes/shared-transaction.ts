import type { Transaction } from '../executor.js'
import type { Planned } from '../planned.js'
import { type Outcome, sendPlanned } from './send-planned.js'

/** After so many milliseconds without a statement, the calls that wait behind a nested transaction are refused. */
export const patience = 5_000

/** The transaction that a scope and all scopes nested in it send their calls to. */
export class SharedTransaction {
  /** The call that is on its way. Never rejects. */
  private active: Promise<void> | undefined
  private sent = 0
  private readonly listeners: (() => void)[] = []

  constructor(private readonly transaction: Transaction) {}

  send(all: readonly Planned<unknown>[]): Promise<Outcome[]> {
    const end = (): void => {
      this.active = undefined
    }
    this.sent++
    const running = sendPlanned(all, (calls) => this.transaction.run(calls))
    this.active = running.then(end, end)
    return running
  }

  /** Resolves when no call is on its way. */
  async idle(): Promise<void> {
    await this.active
  }

  /** Calls `act` each time when nothing was sent between two looks. */
  watch(act: () => void): NodeJS.Timeout {
    let sent = this.sent
    return setInterval(() => {
      if (this.active === undefined && this.sent === sent) act()
      sent = this.sent
    }, patience)
  }

  /** Calls `act` when the transaction has ended, committed or not. */
  whenEnded(act: () => void): void {
    this.listeners.push(act)
  }

  ended(): void {
    for (const act of this.listeners) act()
  }

  get isUsable(): boolean {
    return this.transaction.isUsable
  }

  savepoint(): string {
    return this.transaction.savepoint()
  }

  release(savepoint: string): void {
    this.transaction.release(savepoint)
  }

  rollbackTo(savepoint: string): void {
    this.transaction.rollbackTo(savepoint)
  }
}
