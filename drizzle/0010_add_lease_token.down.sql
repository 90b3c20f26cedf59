ALTER TABLE "platform"."tasks" DROP COLUMN "lease_token";
