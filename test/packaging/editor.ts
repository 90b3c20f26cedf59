import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './installed.js'

/** Where an editor went: a file, and the text of the line. */
export interface Definition {
  readonly file: string
  readonly line: string
}

/** Where an editor goes from the first place of each name in a file: TypeScript's server is asked as an editor asks it. */
export async function definitionsOf(file: string, names: readonly string[]): Promise<(Definition | undefined)[]> {
  const lines = readFileSync(file, 'utf8').split('\n')
  const answers = await ask(
    file,
    names.map((name) => {
      const at = lines.findIndex((line) => new RegExp(`\\b${name}\\b`).test(line))
      return { file, line: at + 1, offset: (lines[at]?.search(new RegExp(`\\b${name}\\b`)) ?? 0) + 1 }
    }),
  )
  return answers.map(([found]) => {
    if (found === undefined) return undefined
    return { file: found.file, line: readFileSync(found.file, 'utf8').split('\n')[found.start.line - 1] ?? '' }
  })
}

type Answer = readonly { readonly file: string; readonly start: { readonly line: number } }[]

/** The server reads a request a line and writes each answer on a line of its own, between headers. */
async function ask(file: string, places: readonly object[]): Promise<Answer[]> {
  const server = spawn(process.execPath, [join(root, 'node_modules/typescript/lib/tsserver.js')])
  const requests = [
    { command: 'open', arguments: { file } },
    ...places.map((place) => ({ command: 'definition', arguments: place })),
  ]
  for (const [seq, request] of requests.entries()) {
    server.stdin.write(`${JSON.stringify({ seq, type: 'request', ...request })}\n`)
  }
  const answers = new Map<number, Answer>()
  let said = ''
  for await (const chunk of server.stdout) {
    said += String(chunk)
    const lines = said.split('\n')
    said = lines.pop() ?? ''
    for (const line of lines.filter((line) => line.startsWith('{'))) {
      const message = JSON.parse(line) as { type: string; command: string; request_seq: number; body?: Answer }
      if (message.command === 'definition') answers.set(message.request_seq, message.body ?? [])
    }
    if (answers.size === places.length) server.stdin.end()
  }
  return places.map((_, i) => answers.get(i + 1) ?? [])
}
