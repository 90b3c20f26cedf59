/**
 * A text that must not be printed. In a template, JSON, a log and an inspector it is `[secret]`; `reveal()` gives the text.
 */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    if (typeof text !== 'string') throw new TypeError('a secret is a text')
    this.#text = text
    Object.freeze(this)
  }

  /** The text itself. */
  reveal(): string {
    return this.#text
  }

  toString(): string {
    return shown
  }

  toJSON(): string {
    return shown
  }

  [Symbol.toPrimitive](): string {
    return shown
  }

  /** Node's inspector, and so `console.log`. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return shown
  }
}

const shown = '[secret]'
