import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './installed.js'

interface Definition {
  readonly file: string
  readonly start: { readonly line: number }
}

/** Where an editor goes from the first `text` in a file: TypeScript's language server is asked as an editor asks it. */
export async function definitionOf(file: string, text: string): Promise<{ file: string; line: string }> {
  const lines = readFileSync(file, 'utf8').split('\n')
  const at = lines.findIndex((line) => line.includes(text))
  const position = { file, line: at + 1, offset: (lines[at]?.indexOf(text) ?? -1) + 1 }
  const [definition] = await ask<Definition[]>({ file }, position)
  if (definition === undefined) throw new Error(`TypeScript knows no definition of ${text}`)
  const source = readFileSync(definition.file, 'utf8').split('\n')
  return { file: definition.file, line: source[definition.start.line - 1] ?? '' }
}

async function ask<Body>(opened: object, position: object): Promise<Body> {
  const server = spawn(process.execPath, [join(root, 'node_modules/typescript/lib/tsserver.js')])
  let said = ''
  server.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const requests = [
    { seq: 1, type: 'request', command: 'open', arguments: opened },
    { seq: 2, type: 'request', command: 'definition', arguments: position },
    { seq: 3, type: 'request', command: 'exit' },
  ]
  server.stdin.end(requests.map((request) => `${JSON.stringify(request)}\n`).join(''))
  await new Promise((settle) => server.on('close', settle))
  const answer = said.split('\n').find((line) => line.includes('"request_seq":2'))
  if (answer === undefined) throw new Error(`TypeScript did not answer: ${said}`)
  return (JSON.parse(answer) as { body: Body }).body
}
