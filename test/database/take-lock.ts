import { rmSync, writeFileSync } from 'node:fs'
import { lockDirectory } from '../../src/database/directory-lock.js'

// Started as a process of its own: takes the lock again and again. While it has it, a second holder would meet its file.
const [directory = '', rounds, stale = ''] = process.argv.slice(2)
let taken = 0
for (let round = 0; round < Number(rounds); round++) {
  writeFileSync(stale, '')
  try {
    const release = await lockDirectory(directory)
    writeFileSync(`${directory}-held`, '', { flag: 'wx' })
    rmSync(`${directory}-held`)
    release()
    taken++
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'unavailable') throw error
  }
}
process.stdout.write(String(taken))
