import * as gcp from '@pulumi/gcp';
import { interpolate } from '@pulumi/pulumi';
import type { Ground } from './ground.ts';

/** Mayfly's own log, kept at home for as long as somebody may ask. Those of sites and builds stay in the project's, which keeps them 30 days. */
export function declareLogs({ plan, name, after }: Ground): void {
  const { project, places, watch } = plan;
  const bucket = new gcp.logging.ProjectBucketConfig(
    'log-bucket',
    { project, location: places.home, bucketId: name('logs'), retentionDays: watch.logDays, description: `Mayfly ${plan.instance}` },
    after(),
  );
  const services = [name('web-service'), name('gate-service')].map((service) => `resource.labels.service_name="${service}"`);
  const pool = `resource.labels.worker_pool_name="${name('worker-pool')}"`;
  new gcp.logging.ProjectSink(
    'log-sink',
    {
      project,
      name: name('logs'),
      destination: interpolate`logging.googleapis.com/${bucket.id}`,
      filter: `resource.type=("cloud_run_revision" OR "cloud_run_worker_pool") AND (${[...services, pool].join(' OR ')})`,
      uniqueWriterIdentity: true,
    },
    after(),
  );
}

/** Tells the billing account's people by mail at half of the amount, at nine tenths, and at all of it. Nothing is switched off. */
export function declareBudget({ plan, name, after }: Ground): void {
  const { project, watch } = plan;
  const { budget } = watch;
  if (budget === null) return;
  const number = gcp.organizations.getProjectOutput({ projectId: project }, { ...after() }).number;
  new gcp.billing.Budget(
    'budget',
    {
      billingAccount: budget.account,
      displayName: name('budget'),
      budgetFilter: { projects: [interpolate`projects/${number}`], calendarPeriod: 'MONTH' },
      amount: { specifiedAmount: { currencyCode: budget.currency, units: String(budget.amount) } },
      thresholdRules: [0.5, 0.9, 1].map((thresholdPercent) => ({ thresholdPercent })),
    },
    after(),
  );
}
