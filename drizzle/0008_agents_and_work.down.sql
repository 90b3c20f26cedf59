drop table platform.agent_tools;
--> statement-breakpoint
drop table platform.tasks;
--> statement-breakpoint
drop table platform.agents;
--> statement-breakpoint
drop table platform.organization_tools;
--> statement-breakpoint
drop table platform.schedules;
--> statement-breakpoint
drop table platform.organization_llms;
--> statement-breakpoint
drop table platform.tools;
--> statement-breakpoint
drop table platform.workflows;
--> statement-breakpoint
drop table platform.llms;
