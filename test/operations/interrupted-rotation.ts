/** A process that rotates the keys of an organization and stops for ever at a batch: `app-url system-url keys org moment`. */
import { openTenancy } from '../../src/tenancy.js'

const [url = '', systemUrl = '', keys = '', orgId = '', moment = ''] = process.argv.slice(2)
const tenancy = await openTenancy({ url, systemUrl, keys })
let reached = 0
await tenancy.system({ actor: 'child', reason: 'to be killed' }).keys.rotate(orgId, {
  onProgress: async () => {
    reached += 1
    if (reached <= Number(moment)) return
    process.stdout.write('stopped')
    await new Promise(() => undefined)
  },
})
await tenancy.close()
