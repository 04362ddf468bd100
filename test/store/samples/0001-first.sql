insert into mayfly.forges values ('github', 'github', 'https://github.com');
insert into mayfly.repositories values ('github', '41', 'acme/shop', '900');
insert into mayfly.sites (id, forge, repository, number, host, status, sha, region, observation, version, ends_at, created_at, state, report_due, said_version)
values ('01JSITE', 'github', '41', 12, 'pr-12-shop-k3f9abcd', 'ready', repeat('a', 40), 'europe-west1', 3, 5, now() + interval '3 days', now(),
  '{"launch":"01JLAUNCH","terms":{"ttlMs":259200000,"maxTtlMs":1209600000},"clockStart":"2026-11-20T10:00:00.000Z","pushedAt":"2026-11-20T09:59:00.000Z","live":{"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","revision":"01JLAUNCH","url":"http://pr-12-shop-k3f9abcd.preview.localhost:8080","since":"2026-11-20T10:00:00.000Z","served":{"kind":"static","folder":"/srv/a"},"idleMs":900000},"head":{"branch":"cart","base":"main","title":"Fix the cart","commitTitle":"fix","author":"ada","repository":"41","trust":"trusted"}}',
  5, 5);
insert into mayfly.site_history (site, version, at, type, news) values ('01JSITE', 1, now(), 'headSeen', '{"type":"headSeen"}');
insert into mayfly.deliveries (id, forge, event, digest) values ('d-1', 'github', '{"type":"pullChanged"}', 'x');
insert into mayfly.launches (id, site, sha, outcome, stages, notes) values ('01JLAUNCH', '01JSITE', repeat('a', 40), 'succeeded', '{"fetch":2000}', '{}');
insert into mayfly.reports values ('01JSITE', '77', 'https://github.com/acme/shop/pull/12#77', 'Preview is ready', '{}', '{}', 5);
insert into mayfly.leases values ('site:01JSITE', 'gone', 4, now() - interval '1 day');
insert into mayfly.keepsakes values ('instance', 'mayfly-0a1b2c3d');
