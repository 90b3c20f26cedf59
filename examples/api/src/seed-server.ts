import { openTenancy } from 'tenantry'
import { seed } from './seed.js'
import { tell } from './tell.js'

// Only this needs the system's login: it makes organizations.
const { DATABASE_URL: url, SYSTEM_DATABASE_URL: systemUrl } = process.env
const tenancy = await openTenancy({ url, systemUrl })
tell(await seed(tenancy))
await tenancy.close()
