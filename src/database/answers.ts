import pg from 'pg'
import type { Notice } from '../core/observed-warnings.js'
import type { Field } from './driver.js'
import { bindComplete, parseComplete, type Pipeline } from './pipeline.js'
import type { DriverError } from './sqlstate.js'

/** The types of the server's messages. */
export const messageTypes = {
  parseComplete: 0x31,
  bindComplete: 0x32,
  closeComplete: 0x33,
  notification: 0x41,
  commandComplete: 0x43,
  dataRow: 0x44,
  error: 0x45,
  notice: 0x4e,
  parameterStatus: 0x53,
  rowDescription: 0x54,
  readyForQuery: 0x5a,
  noData: 0x6e,
} as const

/** Gives the pipeline a message of its answer. One that is no part of it, or cannot be read, makes it misunderstood. */
export function answer(pipeline: Pipeline, type: number, bytes: Buffer, start: number, end: number): void {
  if (type === messageTypes.readyForQuery) {
    pipeline.handleReady(bytes.toString('latin1', start, end))
    return
  }
  // After an error the server says nothing more until it is ready.
  if (pipeline.error !== undefined) {
    pipeline.misunderstand()
    return
  }
  switch (type) {
    case messageTypes.dataRow:
      pipeline.handleRow(bytes, start, end)
      return
    case messageTypes.bindComplete:
      pipeline.handlePart(bindComplete)
      return
    case messageTypes.commandComplete:
      pipeline.handleCommandComplete({ text: bytes.toString('latin1', start, end - 1) })
      return
    case messageTypes.rowDescription: {
      const fields = fieldsIn(bytes, start, end)
      if (fields === undefined) pipeline.misunderstand()
      else pipeline.handleRowDescription({ fields })
      return
    }
    case messageTypes.parseComplete:
      pipeline.handlePart(parseComplete)
      return
    case messageTypes.noData:
      pipeline.handleNoData()
      return
    case messageTypes.closeComplete:
      pipeline.handleClose()
      return
    case messageTypes.error:
      pipeline.handleError(errorIn(bytes, start, end))
      return
    default:
      pipeline.misunderstand()
  }
}

/** What a RowDescription says of each column: behind its name 18 bytes, of which 7 to 10 are its type. */
function fieldsIn(bytes: Buffer, start: number, end: number): Field[] | undefined {
  if (end - start < 2) return undefined
  const fields: Field[] = []
  let at = start + 2
  for (let count = bytes.readUInt16BE(start); count > 0; count--) {
    const nameEnd = bytes.indexOf(0, at)
    if (nameEnd === -1 || nameEnd + 19 > end) return undefined
    fields.push({ name: bytes.toString('utf8', at, nameEnd), dataTypeID: bytes.readUInt32BE(nameEnd + 7) })
    at = nameEnd + 19
  }
  return at === end ? fields : undefined
}

/** The fields of an error or a notice, by their letters. */
function reportIn(bytes: Buffer, start: number, end: number): ReadonlyMap<string, string> {
  const report = new Map<string, string>()
  let at = start
  while (at < end && bytes[at] !== 0) {
    const stop = bytes.indexOf(0, at + 1)
    if (stop === -1 || stop >= end) break
    report.set(String.fromCharCode(bytes[at] as number), bytes.toString('utf8', at + 1, stop))
    at = stop + 1
  }
  return report
}

/** The same error as pg makes of these bytes. */
export function errorIn(bytes: Buffer, start: number, end: number): DriverError {
  const report = reportIn(bytes, start, end)
  const error = new pg.DatabaseError(report.get('M') ?? '', end - start, 'error')
  // Without a severity it would count as an error of the socket.
  error.severity = report.get('S') ?? 'ERROR'
  for (const [letter, name] of errorFields) error[name] = report.get(letter)
  return error as DriverError
}

const errorFields = [
  ['C', 'code'],
  ['P', 'position'],
  ['s', 'schema'],
  ['t', 'table'],
  ['c', 'column'],
  ['n', 'constraint'],
  ['R', 'routine'],
] as const

export function noticeIn(bytes: Buffer, start: number, end: number): Notice {
  const report = reportIn(bytes, start, end)
  return { code: report.get('C'), schema: report.get('s'), table: report.get('t') }
}

/** Name and value of a setting that the server reports. */
export function settingIn(bytes: Buffer, start: number, end: number): [name: string, value: string] {
  const [name = '', value = ''] = bytes.toString('utf8', start, end).split('\0')
  return [name, value]
}
