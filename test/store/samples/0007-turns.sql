update mayfly.repositories set launched_at = '2026-07-15 09:00:00+00';
insert into mayfly.sites (id, forge, repository, number, host, status, sha, region, observation, version, ends_at, created_at, state, report_due, said_version, placed)
values ('01JCLOUD', 'github', '41', 14, 'pr-14-shop-k3f9abcf', 'ready', repeat('c', 40), 'europe-west3', 3, 5, now() + interval '3 days', now() - interval '2 days',
  '{"launch":"01JLAUNCH","terms":{"ttlMs":259200000,"maxTtlMs":1209600000},"clockStart":"2026-11-20T10:00:00.000Z","pushedAt":"2026-11-20T09:59:00.000Z","live":{"sha":"cccccccccccccccccccccccccccccccccccccccc","revision":"01JLAUNCH","url":"https://pr-14-shop-k3f9abcf.preview.example.com","since":"2026-11-20T10:00:00.000Z","served":{"kind":"remote","origin":"https://cloud.a.run.app"},"idleMs":900000},"head":{"branch":"cart","base":"main","title":"Fix the cart","commitTitle":"fix","author":"ada","repository":"41","trust":"trusted","draft":false}}',
  5, 5, true);
