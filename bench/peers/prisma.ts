import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from './generated/prisma/client.js'
import type { BenchDatabase } from '../database.js'
import type { Peer } from './peer.js'

export function openPrisma({ bindingUrl }: BenchDatabase): Peer {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: bindingUrl, max: 1 }) })
  return {
    name: 'Prisma, row-security extension',
    goal: 9.2,
    goalOfFive: 15,
    read: (bound, { orgId, id }) =>
      boundTo(prisma, bound).task.findUnique({ where: { org_id_id: { org_id: orgId, id } } }),
    close: () => prisma.$disconnect(),
  }
}

/** The client of one request. Each of its queries shares a transaction with its binding. */
function boundTo(prisma: PrismaClient, bound: string) {
  return prisma.$extends({
    query: {
      $allModels: {
        async $allOperations({ args, query }) {
          const [, result] = await prisma.$transaction([
            prisma.$executeRaw`select set_config('tenantry.org_id', ${bound}, true)`,
            query(args),
          ])
          return result
        },
      },
    },
  })
}
