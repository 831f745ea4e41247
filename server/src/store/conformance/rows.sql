INSERT INTO meta (key, value) VALUES ('restored', '{"backup_at":7,"go_on":false}');
INSERT INTO definitions (job_type, latest_version, enabled, degraded, next_fire_at, created_at, updated_at, watches)
VALUES ('flow', 'aaaa', true, NULL, 2000, 1, 2, '["other"]'), ('Zebra', 'cccc', false, 'why', NULL, 1, 2, '[]');
INSERT INTO definition_versions (job_type, version, semver, source, warnings, created_at) VALUES
('flow', 'aaaa', '1.2.0', 'job_type: flow
tasks:
  - {task_type: one, script: [x]}
  - {task_type: two, fan_out: {items: "{{ [1] }}"}, script: [x], outputs: [made]}
  - {task_type: three, script: [x]}
', '[]', 5),
('flow', 'bbbb', '1.1.0', 'job_type: flow', '[]', 4), ('Zebra', 'cccc', NULL, 'job_type: Zebra', '[]', 3);
INSERT INTO version_labels (job_type, version, position, name, value) VALUES ('flow', 'aaaa', 0, 'team', 'core'),
('flow', 'aaaa', 1, 'ünï', 'a:b'), ('flow', 'bbbb', 0, 'team', 'old'), ('Zebra', 'cccc', 0, 'tier', '2');
INSERT INTO jobs (id, job_type, version, state, reason, error_code, error_message, priority, user_key, params, description,
    submitted_by, tick, attempt, nonce, created_at, scheduled_at, started_at, finished_at, parent_job, parent_attempt, forked,
    depth, rerun_of, concurrency_key, expires_at, created_params, origin_key, description_given) VALUES
('job_1', 'flow', 'aaaa', 'COMPLETED', NULL, NULL, NULL, 2, 'key', '{"A":1}', 'Über alles', 'me', 700, 1, 'n0', 10, NULL, 11, 20,
    NULL, NULL, false, 0, NULL, 'ck', 100, NULL, NULL, true),
('job_2', 'flow', 'aaaa', 'RUNNING', 'busy', NULL, NULL, 0, 'key', '{}', NULL, 'you', NULL, 2, 'n1', 30, 31, 32, NULL,
    'job_1', 3, true, 1, 'job_1', NULL, NULL, '{"B":2}', 'item', false),
('job_3', 'flow', 'aaaa', 'FAILED', NULL, 'EXIT_CODE', 'exit code 3', 3, NULL, '{}', NULL, 'you', NULL, 1, NULL, 40, NULL, 41, 42,
    'job_1', NULL, false, 1, NULL, NULL, NULL, NULL, NULL, false);
INSERT INTO tasks (job_id, task, name, state, visits, attempts, last_attempt, result, exit_code, error_code, error_message,
    skip_reason, route, first_started_at, started_at, finished_at) VALUES
('job_1', 0, 'one', 'COMPLETED', 1, 1, 1, 'COMPLETED', 0, NULL, NULL, NULL, 'two', 11, 11, 12),
('job_1', 1, 'two', 'COMPLETED', 1, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 13, 13, 19),
('job_1', 2, 'three', 'SKIPPED', 1, 0, NULL, NULL, NULL, NULL, NULL, 'when', NULL, NULL, NULL, 20),
('job_2', 0, 'one', 'RUNNING', 1, 1, 1, NULL, NULL, NULL, NULL, NULL, NULL, 33, 33, NULL),
('job_3', 0, 'one', 'FAILED', 1, 1, 1, 'FAILED', 3, 'EXIT_CODE', 'exit code 3', NULL, NULL, 41, 41, 42);
INSERT INTO attempts (job_id, number, task, instance, visit, task_attempt, job_attempt, state, reason, token, ant, isolation,
    result, exit_code, error_code, error_message, routed_from, outputs, warnings, log_bytes, created_at, started_at,
    finished_at, item_key) VALUES
('job_1', 1, 0, NULL, 1, 1, 1, 'FINISHED', NULL, -3, 'ant', 'cgroup', 'COMPLETED', 0, NULL, NULL, '[]', '{"a":"b"}', '["w"]', 77, 11, 11, 12, NULL),
('job_1', 2, 1, 0, 1, 1, 1, 'FINISHED', NULL, 4, 'ant', 'cgroup', 'COMPLETED', 0, NULL, NULL, '[]', '{"made":1}', '[]', 0, 13, 13, 14, 'k0'),
('job_1', 3, 1, 1, 1, 1, 1, 'FINISHED', NULL, 5, 'ant', 'cgroup', 'COMPLETED', 0, NULL, NULL, '[]', '{}', '[]', 3, 13, 14, 19, 'k1'),
('job_2', 1, 0, NULL, 1, 1, 2, 'RUNNING', 'waits', 9223372036854775807, 'ant', NULL, NULL, NULL, NULL, NULL, '[]', '{}', '[]', 0, 33, 33, NULL, NULL),
('job_3', 1, 0, NULL, 1, 1, 1, 'FINISHED', NULL, NULL, NULL, NULL, 'FAILED', 3, 'EXIT_CODE', 'exit code 3', '[]', '{}', '[]', 0, 41, 41, 42, NULL);
INSERT INTO task_instances (job_id, task, instance, visit, item_key, state, attempts, last_attempt, result, exit_code, error_code,
    error_message) VALUES
('job_1', 1, 0, 1, 'k0', 'COMPLETED', 1, 2, 'COMPLETED', 0, NULL, NULL), ('job_1', 1, 1, 1, 'k1', 'COMPLETED', 1, 3, 'COMPLETED', 0, NULL, NULL);
INSERT INTO artifacts (job_id, attempt, path, digest, size, executable, group_name, expires_at, expired_at) VALUES
('job_1', 1, 'Out/b', 'd1', 5, true, 'g', 90, NULL), ('job_1', 1, 'out/a', 'd2', 6, false, NULL, NULL, 15),
('job_1', 2, 'x', 'd1', 5, false, NULL, NULL, NULL), ('job_2', 2147483648, 'kept', 'd3', 7, false, NULL, NULL, NULL), ('job_3', 1, 'late', 'd4', 1, false, NULL, 80, NULL);
INSERT INTO agent_attempts (job_id, attempt, cli, model, class, message, session_cli, session_id, turns, input_tokens, output_tokens,
cache_read_tokens, cache_write_tokens, cost_micros, cost_source, limit_resets_at, record) VALUES
('job_1', 2, 'claude', 'm', 'RATE_LIMITED', 'why', 'claude', 's1', 3, 10, 20, 30, 40, 9007199254740993, 'priced:2026-11-01', 99,
'{"class":"RATE_LIMITED","message":"why","runs":[],"session":{"cli":"claude","id":"s1"},"usage":{"turns":3,"cost":1250000,"cost_source":{"priced":"2026-11-01"}}}'),
('job_2', 1, '', NULL, NULL, '', 'codex', 's2', 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"runs":[],"usage":{}}');
INSERT INTO attempt_commands (job_id, attempt, command) VALUES ('job_1', 1, BYTES({})), ('job_1', 3, BYTES(0102));
INSERT INTO agent_spend (job_id, attempt, account, most_usd, most_tokens, most_turns, most_ms, bounds, day, counted_usd, counted_tokens,
counted_turns, counted_ms, unknown_usd, unknown_tokens) VALUES
('job_1', 2, 'claude', 1, 2, 3, 4, 'usd=job', 3, 5, 6, 7, 8, 1, 0), ('job_2', 1, 'codex', NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, 0, 0);
INSERT INTO spend_days (day, job_type, attempts, usd, tokens, turns, ms, unknown) VALUES (3, 'flow', 1, 5, 6, 7, 8, 1);
INSERT INTO job_budgets (job_id, usd, tokens, turns, ms) VALUES ('job_1', 1, 2, NULL, 4);
INSERT INTO accounts (name, parked_until, reason, limited_at, strikes) VALUES ('claude', 9, 'why', 8, 1), ('codex', NULL, '', 7, 0);
INSERT INTO adopted_tasks (job_id, task, source_job, outputs) VALUES ('job_2', 0, 'job_1', '{"o":1}');
INSERT INTO events (sequence, job_id, at, entropy, event, effects) VALUES
(1, 'job_1', 10, -1, '{"type":"admitted"}', '[{"type":"something","task":0}]'), (2, 'job_2', 30, 7, '{"type":"admitted"}', '[]'),
(3, 'job_3', 40, 8, '{"type":"admitted"}', '[]');
INSERT INTO timers (job_id, timer, due_at) VALUES ('job_2', '{"kind":"job_timeout","job_attempt":2}', 500);
INSERT INTO idempotency_keys (key, request_hash, status, response, created_at) VALUES ('idem', 'h', 202, '{}', 3), ('later', 'h', 202, '{}', 9);
INSERT INTO configs (scope, name, value, key_id, nonce, ciphertext, created_at, updated_at) VALUES
('', 'plain', '"v"', NULL, NULL, NULL, 1, 2), ('flow', 'secret', NULL, 'k', BYTES(0102), BYTES(00ff), 1, 2);
INSERT INTO approvals (id, job_id, attempt, task, policy, message, state, created_at, deadline, decided_at) VALUES
('apr_1', 'job_2', 1, 'one', '{"min_approvals":1,"users":[],"roles":[],"unanimous":false,"timeout_action":"reject"}', 'well?', 'OPEN', 33, 99, NULL),
('apr_2', 'job_1', 1, 'one', '{"min_approvals":2,"users":["alice"],"roles":["release","ops"],"unanimous":false,"timeout_action":"reject"}', NULL, 'APPROVED', 11, NULL, 12);
INSERT INTO votes (approval_id, voter, decision, comment, via, at) VALUES
('apr_2', 'alice', 'approve', NULL, 'api', 11), ('apr_2', 'Bob', 'approve', 'fine', 'link', 11), ('apr_1', 'carol', 'approve', NULL, 'cli', 34);
INSERT INTO outbox (id, job_id, event, rule, channel, recipient, voter, destination, content, state, attempts, next_at, last_error,
    created_at, finished_at) VALUES
('ntf_1', 'job_1', 'job.completed', 0, 'webhook', 0, NULL, 'http://a', '{}', 'PENDING', 1, 50, 'no', 20, NULL),
('ntf_2', 'job_2', 'approval.asked', 1, 'email', 1, 'alice', 'b', '{}', 'SENT', 1, NULL, NULL, 33, 34),
('ntf_3', 'job_2', 'job.started', 1, 'slack', 0, NULL, 'c', '{}', 'PENDING', 0, 40, NULL, 33, NULL);
INSERT INTO deliveries (id, job_type, trigger_name, sender_id, event, headers, body, outcome, job_id, message, redelivery_of,
    received_at) VALUES ('dlv_1', 'flow', 'push', 's1', 'push', '{}', BYTES(6162ff), 'submitted', 'job_1', NULL, NULL, 9);
INSERT INTO garbage (kind, name) VALUES ('artifact', 'd9'), ('artifact', 'd1'), ('log', 'job_1-9');
INSERT INTO tokens (id, name, hash, role, user_name, ant, tags, created_at, created_by, expires_at, last_used_at, revoked_at) VALUES
('tok_1', 'ci', 'h1', 'submitter', 'ci', NULL, NULL, 1, 'me', 50, NULL, NULL), ('tok_2', 'far', 'h2', 'ant', 'ant', 'far', '["gpu"]', 2, 'me', NULL, 3, 4);
INSERT INTO audit (sequence, at, user_name, token, action, target, status, request_id) VALUES (1, 5, 'ci', 'tok_1', 'submit', 'job_1', 202, 'req_1');
INSERT INTO ants (id, session, mode, since) VALUES ('ant', -5, 'open', 1), ('far', NULL, 'draining', 2);
INSERT INTO outcomes (job_id, job_type, version, submitted_at, started_at, finished_at, ended, error_code, kind, repository, url, state,
    reason, note, opened_at, merged_at, rework, attempts, turns, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
    tokens_unknown, cost_micros, cost_unknown) VALUES
('job_1', 'flow', 'aaaa', 10, 11, 20, 'COMPLETED', NULL, 'pull_request', 'a/b', 'u', 'merged', NULL, NULL, 12, 19, 1, 3, 9, 1, 2, 3, 4, 1, 1250001, 1),
('job_2', 'flow', 'aaaa', 30, 31, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'odd', NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO outcome_agents (job_id, cli, model, attempts, turns, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
    tokens_unknown, cost_micros, cost_unknown) VALUES
('job_1', 'claude', 'opus', 2, 6, 1, 2, 3, 4, 0, 1250001, 0), ('job_1', '', '', 1, 3, 0, 0, 0, 0, 1, 0, 1);
INSERT INTO outcome_tasks (job_id, task, retries, changed) VALUES ('job_1', 'one', 3, 2), ('job_1', 'two', 1, 0);
