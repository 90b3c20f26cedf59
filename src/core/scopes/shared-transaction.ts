import type { Transaction } from '../executor.js'
import type { Planned } from '../planned.js'
import { type Outcome, sendPlanned } from './send-planned.js'

/** After so many milliseconds without a statement, the calls that wait behind a nested transaction are refused. */
export const patience = 5_000

/** The transaction that a scope and all scopes nested in it send their calls to. */
export class SharedTransaction {
  /** The calls that are on their way. None of them rejects. */
  private readonly active = new Set<Promise<void>>()
  private sent = 0
  private readonly listeners: (() => void)[] = []

  constructor(private readonly transaction: Transaction) {}

  send(all: readonly Planned<unknown>[]): Promise<Outcome[]> {
    this.sent++
    const running = sendPlanned(all, (calls) => this.transaction.run(calls))
    const end = (): void => {
      this.active.delete(ended)
    }
    const ended = running.then(end, end)
    this.active.add(ended)
    return running
  }

  /** Resolves when no call is on its way. */
  async idle(): Promise<void> {
    await Promise.all(this.active)
  }

  /** Calls `act` each time when nothing was sent between two looks. */
  watch(act: () => void): NodeJS.Timeout {
    let sent = this.sent
    return setInterval(() => {
      if (this.active.size === 0 && this.sent === sent) act()
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
