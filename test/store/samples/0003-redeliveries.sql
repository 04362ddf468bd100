update mayfly.forges set deliveries_until = '2026-11-20T10:00:00Z' where id = 'github';
insert into mayfly.redeliveries (forge, delivery) values ('github', '58474f00-b361-11eb-836d-0e4f3503ccbe');
