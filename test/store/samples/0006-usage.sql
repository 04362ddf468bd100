insert into mayfly.usage (site, busy_ms, requests)
select id, 90500, 412 from mayfly.sites order by id limit 1;
