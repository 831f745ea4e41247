//! The rules of control flow, one by one.

use std::time::Duration;

use super::story::story;
use crate::engine::JobState::{Blocked, Cancelled, Completed, Failed, Paused, Waiting};
use crate::engine::{AttemptNumber, AttemptResult, Effect, Event, ResultName, SkipReason, TaskIndex, TaskState, Timer};
use crate::time::UnixMillis;

#[test]
fn a_task_waits_for_all_its_dependencies() {
    let story = story("", "a\nb\nc, dependencies: [a, b]", &[]).play();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "a b c"));
}

#[test]
fn an_unrouted_failure_skips_what_depends_on_it_and_nothing_else() {
    let story = story("", "a\nb, dependencies: [a]\nc\nd, dependencies: [c]", &[("a", "3")]).play();
    assert_eq!((story.state(), story.task("b"), story.task("d")), (Failed, TaskState::Skipped, TaskState::Completed));
    assert_eq!(story.failure().code, "EXIT_CODE");
    assert_eq!(story.failure().message, "task \"a\" failed with exit code 3 and no route matched");
    assert!(
        story
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::TaskChanged { skip_reason: Some(SkipReason::UpstreamFailed), .. }))
    );
}

#[test]
fn an_optional_dependency_is_satisfied_by_any_outcome() {
    let story = story("", "a\nb, dependencies: [{task: a, optional: true}]", &[("a", "1")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Failed, "a b"));
}

#[test]
fn the_first_of_code_range_result_class_and_star_is_followed() {
    let tasks = "a, on_exit_code: {3: code, 2-5: range, TIMED_OUT: named, FAILED: failed, '*': star}
        code\nrange\nnamed\nfailed\nstar";
    for (result, next) in [("3", "code"), ("4", "range"), ("TIMED_OUT", "named"), ("9", "failed"), ("0", "star")] {
        let story = story("", tasks, &[("a", result)]).play();
        assert_eq!((story.state(), story.started()), (Completed, format!("a {next}")));
    }
}

#[test]
fn a_decision_is_not_retried_and_a_failure_is() {
    let tasks = "a, retry: 2, delay_between_retries: 1s, on_exit_code: {3: b, FAILED: c}\nb\nc";
    assert_eq!(story("", tasks, &[("a", "3")]).play().started(), "a b");
    assert_eq!(story("", tasks, &[("a", "1")]).play().started(), "a a a c");
    assert_eq!(story("", tasks, &[("a", "1 3")]).play().started(), "a a b");
}

#[test]
fn retry_on_makes_a_decision_a_failure() {
    let tasks = "a, retry: 1, retry_on: [3], on_exit_code: {3: b}\nb";
    assert_eq!(story("", tasks, &[("a", "3")]).play().started(), "a a b");
}

#[test]
fn the_delay_before_a_retry_comes_from_the_events_randomness() {
    let tasks = "a, retry: 3, retry_backoff: {initial: 8s, factor: 2, max: 20s, jitter: full}";
    let mut seen = Vec::new();
    for entropy in 0..200 {
        let mut story = story("", tasks, &[]);
        story.entropy = entropy;
        story.tell(Event::Admitted).unwrap();
        for number in 1..4 {
            let attempt = AttemptNumber(number);
            story.tell(Event::AttemptLeased { attempt }).unwrap();
            let result = AttemptResult::Exit(1);
            let before = story.now;
            story.tell(Event::AttemptFinished { attempt, result, failure: None, retry_after: None }).unwrap();
            let Some((timer, due)) = story.timers.pop_first() else { continue };
            let most = [8000, 16_000, 20_000][number as usize - 1];
            assert!((0..=most).contains(&(due.0 - before.0)), "{due:?}");
            seen.push(due.0 - before.0);
            story.now = due;
            story.tell(Event::TimerFired { timer }).unwrap();
        }
    }
    assert!(seen.iter().any(|delay| *delay < 2000) && seen.iter().any(|delay| *delay > 15_000), "{seen:?}");
}

#[test]
fn an_answer_that_asks_for_a_longer_wait_gets_it() {
    for (tasks, asked, waited) in [
        ("a, retry: 1, delay_between_retries: 5s", 90, 90_000),
        ("a, retry: 1, delay_between_retries: 2m", 90, 120_000),
        ("a, on_exit_code: {1: {reschedule: 10s, until: 1h}}", 90, 90_000),
        ("a, on_exit_code: {1: {reschedule: 10s, until: 30s}}", 90, 30_000),
    ] {
        let mut story = story("", tasks, &[]);
        story.tell(Event::Admitted).unwrap();
        let attempt = AttemptNumber(1);
        story.tell(Event::AttemptLeased { attempt }).unwrap();
        let (result, before) = (AttemptResult::Exit(1), story.now);
        let retry_after = Some(Duration::from_secs(asked));
        story.tell(Event::AttemptFinished { attempt, result, failure: None, retry_after }).unwrap();
        let (_, due) = story.timers.pop_first().unwrap();
        assert_eq!(due.0 - before.0, waited, "{tasks}");
    }
}

#[test]
fn special_words_say_what_becomes_of_the_task_and_the_job() {
    for (word, state, code) in [
        ("COMPLETED", Completed, ""),
        ("FAILED", Failed, "EXIT_CODE"),
        ("FATAL", Failed, "FATAL"),
        ("RESTART_TASK", Failed, "ERR_RESTART_TASK"),
        ("RESTART_JOB", Failed, "RESTART_LIMIT"),
        ("END_COMPLETED", Completed, ""),
        ("END_FAILED", Failed, "END_FAILED"),
        ("END_BLOCKED", Blocked, ""),
        ("ERR_NO_COMMITS", Failed, "ERR_NO_COMMITS"),
    ] {
        let story = story("", &format!("a, on_exit_code: {{3: {word}}}"), &[("a", "3")]).play();
        assert_eq!(story.state(), state, "{word}");
        let cause = story.run.verdict().unwrap().1.map_or("", |failure| failure.code.as_str());
        assert_eq!(cause, code, "{word}");
    }
}

#[test]
fn the_words_completed_and_failed_follow_their_route() {
    let tasks = "a, on_completed: b, on_failed: c, on_exit_code: {3: COMPLETED, 4: ERR_X}\nb\nc";
    assert_eq!(story("", tasks, &[("a", "3")]).play().started(), "a b");
    assert_eq!(story("", tasks, &[("a", "4")]).play().started(), "a c");
}

#[test]
fn the_first_error_code_is_kept_when_a_failed_route_follows() {
    let tasks = "a, on_failed: ERR_GENERAL, on_exit_code: {5: ERR_NO_COMMITS}";
    for (exit, expected) in [("5", "ERR_NO_COMMITS"), ("6", "ERR_GENERAL")] {
        let story = story("", tasks, &[("a", exit)]).play();
        assert_eq!(story.run.verdict().unwrap().1.unwrap().code, expected);
    }
}

#[test]
fn a_route_with_a_max_is_used_up() {
    let tasks = "test, max_visits: 9, on_exit_code: {3: {goto: fix, max: 2}, FAILED: notify}
        fix, on_completed: test
        notify, on_completed: END_BLOCKED";
    let story = story("", tasks, &[("test", "3")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Blocked, "test fix test fix test notify"));
}

#[test]
fn a_loop_runs_in_rounds_and_is_left_when_it_has_ended() {
    let tasks = "plan, on_completed: test
        test, max_visits: 3, on_exit_code: {0: publish, 3: fix}
        fix, on_completed: test
        publish, dependencies: [fix]";
    let story = story("", tasks, &[("test", "3 3 0")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "plan test fix test fix test publish"));
    // Not reached in the last round: it keeps the visit that ran.
    assert_eq!(story.task("fix"), TaskState::Completed);
    assert_eq!(story.run.task_visit(TaskIndex(1)), 3);
}

#[test]
fn a_loop_beyond_its_limit_fails_with_loop_limit() {
    let tasks = "test, max_visits: 2, on_exit_code: {3: fix}\nfix, on_completed: test";
    let unrouted = story("", tasks, &[("test", "3")]).play();
    assert_eq!((unrouted.state(), unrouted.started().as_str()), (Failed, "test fix test fix"));
    assert_eq!(unrouted.failure().code, "LOOP_LIMIT");
    assert!(unrouted.failure().message.contains("came round again after 2 visits"), "{}", unrouted.failure().message);

    let tasks = "test, max_visits: 2, on_exit_code: {3: fix, LOOP_LIMIT: notify}\nfix, on_completed: test
        notify, on_completed: END_BLOCKED";
    let routed = story("", tasks, &[("test", "3")]).play();
    assert_eq!((routed.state(), routed.started().as_str()), (Blocked, "test fix test fix notify"));
}

#[test]
fn an_inner_loop_is_entered_anew_in_each_round_of_the_outer_one() {
    let tasks = "outer, max_visits: 2, on_completed: inner
        inner, max_visits: 2, on_exit_code: {3: again, 0: check}
        again, on_completed: inner
        check, on_exit_code: {3: outer, 0: done}
        done";
    let story = story("", tasks, &[("inner", "3 0 3 0"), ("check", "3 0")]).play();
    assert_eq!(story.started(), "outer inner again inner check outer inner again inner check done");
    assert_eq!(story.state(), Completed);
}

#[test]
fn a_failure_in_the_loop_ends_it() {
    let tasks = "test, max_visits: 3, on_exit_code: {3: fix}\nfix, on_completed: test";
    let story = story("", tasks, &[("test", "3"), ("fix", "1")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Failed, "test fix"));
}

#[test]
fn a_false_condition_skips_the_task_and_follows_its_completed_route() {
    let tasks = "a, when: '{{ JobID }}', on_completed: b\nb\nc, dependencies: [a]";
    let skipped = story("", tasks, &[]).when("a", Ok(false)).play();
    assert_eq!(
        (skipped.state(), skipped.task("a"), skipped.started().as_str()),
        (Completed, TaskState::Skipped, "c b")
    );
    let invalid = story("", tasks, &[]).when("a", Err("undefined value")).play();
    assert_eq!((invalid.state(), invalid.task("a")), (Failed, TaskState::Failed));
    assert_eq!(invalid.failure().code, "INVALID");
    assert!(invalid.failure().message.contains("undefined value"), "{}", invalid.failure().message);
}

#[test]
fn an_allowed_failure_counts_as_completed() {
    let tasks = "a, allow_failure: true, on_completed: b\nb\nc, dependencies: [a]";
    let story = story("fail_on: any_failure", tasks, &[("a", "1")]).play();
    assert_eq!((story.state(), story.task("a"), story.started().as_str()), (Completed, TaskState::Failed, "a c b"));
}

#[test]
fn a_handled_failure_fails_the_job_only_with_fail_on_any_failure() {
    let tasks = "a, on_failed: b\nb";
    assert_eq!(story("", tasks, &[("a", "1")]).play().state(), Completed);
    let story = story("fail_on: any_failure", tasks, &[("a", "1")]).play();
    assert_eq!((story.state(), story.failure().message.as_str()), (Failed, "task \"a\" failed with exit code 1"));
}

#[test]
fn always_run_tasks_run_last_one_after_another_whatever_happened() {
    let tasks = "a\nb, always_run: true, dependencies: [c]\nc, always_run: true";
    for (result, state) in [("0", Completed), ("1", Failed), ("LOST", Failed)] {
        let story = story("", tasks, &[("a", result), ("c", "1")]).play();
        assert_eq!((story.state(), story.started().as_str()), (state, "a c b"));
    }
}

#[test]
fn a_lost_always_run_task_is_repeated_twice() {
    let story = story("", "a\nb, always_run: true", &[("b", "LOST")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "a b b b"));
}

#[test]
fn an_always_run_task_that_a_route_starts_runs_once() {
    let story = story("", "a, on_failed: b\nb, always_run: true, on_completed: c\nc", &[("a", "1")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "a b c"));
}

#[test]
fn fatal_stops_what_runs_and_is_not_retried() {
    let mut story = story("retry: 2", "a, on_exit_code: {1: FATAL}\nb\nc, always_run: true", &[]);
    story.tell(Event::Admitted).unwrap();
    for attempt in [AttemptNumber(1), AttemptNumber(2)] {
        story.tell(Event::AttemptLeased { attempt }).unwrap();
    }
    let result = AttemptResult::Exit(1);
    story.tell(Event::AttemptFinished { attempt: AttemptNumber(1), result, failure: None, retry_after: None }).unwrap();
    assert!(matches!(story.effects.last(), Some(Effect::KillAttempt { attempt: AttemptNumber(2), .. })));
    let result = AttemptResult::Named(ResultName::Cancelled);
    story.tell(Event::AttemptFinished { attempt: AttemptNumber(2), result, failure: None, retry_after: None }).unwrap();
    story.ready = [AttemptNumber(3)].into();
    story.go_on();
    assert_eq!((story.state(), story.task("b"), story.started().as_str()), (Failed, TaskState::Cancelled, "a b c"));
    assert_eq!(story.failure().message, "task \"a\" failed with exit code 1 and its route is FATAL");
}

#[test]
fn fail_fast_cancels_the_rest() {
    let story = story("fail_fast: true", "a\nb\nc, dependencies: [b]", &[("a", "1")]).play();
    assert_eq!((story.state(), story.task("b"), story.task("c")), (Failed, TaskState::Cancelled, TaskState::Cancelled));
}

#[test]
fn a_cancelled_job_runs_its_always_run_tasks_once_something_started() {
    let tasks = "a\nb, always_run: true";
    let cancel = || Event::CancelRequested { reason: "no longer needed".to_owned(), force: false };
    let mut unstarted = story("", tasks, &[]);
    unstarted.tell(cancel()).unwrap();
    assert_eq!((unstarted.state(), unstarted.started().as_str()), (Cancelled, ""));
    let mut never_leased = story("", tasks, &[]);
    never_leased.tell(Event::Admitted).unwrap();
    never_leased.tell(cancel()).unwrap();
    assert_eq!((never_leased.state(), never_leased.started().as_str()), (Cancelled, "a"));

    let mut running = story("", tasks, &[]);
    running.tell(Event::Admitted).unwrap();
    running.tell(Event::AttemptLeased { attempt: AttemptNumber(1) }).unwrap();
    running.tell(cancel()).unwrap();
    running.tell(cancel()).unwrap();
    let result = AttemptResult::Named(ResultName::Cancelled);
    running
        .tell(Event::AttemptFinished { attempt: AttemptNumber(1), result, failure: None, retry_after: None })
        .unwrap();
    running.go_on();
    assert_eq!((running.state(), running.started().as_str()), (Cancelled, "a b"));
    assert_eq!(running.failure().message, "no longer needed");
}

#[test]
fn a_cancel_in_the_final_phase_says_the_verdict_and_force_overrides_it() {
    let mut story = story("", "a\nb, always_run: true\nc, always_run: true", &[]);
    story.tell(Event::Admitted).unwrap();
    story.tell(Event::AttemptLeased { attempt: AttemptNumber(1) }).unwrap();
    let result = AttemptResult::Exit(0);
    story.tell(Event::AttemptFinished { attempt: AttemptNumber(1), result, failure: None, retry_after: None }).unwrap();
    let before = story.run.clone();
    let refused = story.tell(Event::CancelRequested { reason: "stop".to_owned(), force: false }).unwrap_err();
    assert_eq!(refused.code(), "FINAL_PHASE");
    assert_eq!(
        refused.to_string(),
        "only the always_run tasks are left to run and the job will be COMPLETED; cancel with force to stop them as well"
    );
    assert_eq!(story.run, before);
    story.tell(Event::CancelRequested { reason: "stop".to_owned(), force: true }).unwrap();
    assert_eq!((story.state(), story.task("c")), (Completed, TaskState::Cancelled));
}

#[test]
fn the_jobs_timeout_counts_only_the_time_in_which_it_runs() {
    let mut story =
        story("timeout: 10s", "a, retry: 1, delay_between_retries: 1h\nb, always_run: true", &[("a", "1 0")]);
    story.tell(Event::Admitted).unwrap();
    let attempt = AttemptNumber(1);
    story.tell(Event::AttemptLeased { attempt }).unwrap();
    let timer = Timer::JobTimeout { job_attempt: 1 };
    assert_eq!(story.timers.get(&timer), Some(&UnixMillis(10_000)));
    story.now = UnixMillis(4000);
    story
        .tell(Event::AttemptFinished { attempt, result: AttemptResult::Exit(1), failure: None, retry_after: None })
        .unwrap();
    assert_eq!((story.state(), story.timers.get(&timer)), (Waiting, None));
    story.now = UnixMillis(4000 + 3_600_000);
    story.tell(Event::TimerFired { timer: Timer::TaskRetry { task: TaskIndex(0), visit: 1, attempt: 2 } }).unwrap();
    assert_eq!(story.timers.get(&timer), Some(&UnixMillis(3_610_000)));
    story.now = UnixMillis(3_610_000);
    story.tell(Event::TimerFired { timer }).unwrap();
    story.ready = [AttemptNumber(3)].into();
    story.go_on();
    assert_eq!((story.state(), story.failure().code.as_str()), (Failed, "JOB_TIMEOUT"));
    assert_eq!(story.started(), "a a b");
}

#[test]
fn a_job_retry_keeps_what_completed_and_runs_always_run_once_at_the_end() {
    let tasks = "a\nb, dependencies: [a]\nc, dependencies: [b]\nd, always_run: true";
    let kept = story("retry: 1", tasks, &[("b", "1 0")]).play();
    assert_eq!((kept.state(), kept.started().as_str()), (Completed, "a b b c d"));
    let anew = story("retry: 1\nretry_from: start", tasks, &[("b", "1 0")]).play();
    assert_eq!((anew.state(), anew.started().as_str()), (Completed, "a b d a b c d"));
    let nonces = anew.effects.iter().filter(|effect| matches!(effect, Effect::JobAttemptBegan { .. })).count();
    assert_eq!((nonces, anew.run.nonce()), (2, "12345678"));
}

#[test]
fn restart_job_begins_anew_and_consumes_the_jobs_retry() {
    let tasks = "a\nb, dependencies: [a], on_exit_code: {3: RESTART_JOB}\nc, always_run: true";
    let story = story("retry: 1", tasks, &[("b", "3")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Failed, "a b c a b c"));
    assert_eq!(story.failure().code, "RESTART_LIMIT");
    assert_eq!(
        story.failure().message,
        "task \"b\" failed with exit code 3 and its route restarts the job, but no retry of the job is left"
    );
}

#[test]
fn a_blocked_job_is_not_retried() {
    let story = story("retry: 3", "a, on_exit_code: {2: END_BLOCKED}", &[("a", "2")]).play();
    assert_eq!((story.state(), story.run.job_attempt()), (Blocked, 1));
}

#[test]
fn a_paused_job_starts_nothing_until_it_is_resumed() {
    let mut story = story("", "a, on_exit_code: {5: PAUSE_JOB}\nb\nc, dependencies: [b]", &[("a", "5 0")]).play();
    assert_eq!((story.state(), story.task("a"), story.task("b")), (Paused, TaskState::Waiting, TaskState::Ready));
    let refused = story.tell(Event::AttemptLeased { attempt: AttemptNumber(2) }).unwrap_err();
    assert_eq!(refused.to_string(), "the job is PAUSED: attempt 2 must not be dispatched now");
    story.tell(Event::ResumeRequested).unwrap();
    let again = story.tell(Event::ResumeRequested).unwrap_err();
    assert_eq!((again.code(), again.to_string().as_str()), ("NOT_PAUSED", "the job is RUNNING, not PAUSED"));
    story.go_on();
    assert_eq!((story.state(), story.run.task_visit(TaskIndex(0))), (Completed, 1));
}

#[test]
fn resume_after_resumes_by_itself() {
    let story = story("resume_after: 5m", "a, on_exit_code: {5: PAUSE_JOB}", &[("a", "5 0")]).play();
    assert_eq!((story.state(), story.now, story.started().as_str()), (Completed, UnixMillis(300_000), "a a"));
}

#[test]
fn a_rescheduled_task_gets_attempts_of_the_same_visit_until_its_limit() {
    let tasks = "a, on_exit_code: {10: {reschedule: 2m, until: 5m}, EXPIRED: b}\nb";
    let story = story("", tasks, &[("a", "10")]).play();
    assert_eq!((story.state(), story.now), (Completed, UnixMillis(300_000)));
    assert_eq!((story.started().as_str(), story.run.task_visit(TaskIndex(0))), ("a a a a b", 1));
}

#[test]
fn an_interrupted_attempt_is_repeated_outside_retry_and_lost_in_the_end() {
    let mut story = story("", "a", &[]);
    story.tell(Event::Admitted).unwrap();
    for number in 1..=11 {
        let attempt = AttemptNumber(number);
        story.tell(Event::AttemptLeased { attempt }).unwrap();
        story.tell(Event::AttemptInterrupted { attempt }).unwrap();
    }
    assert_eq!((story.state(), story.failure().code.as_str()), (Failed, "LOST"));
}

#[test]
fn commands_on_a_job_that_is_over_make_a_new_attempt_that_waits_for_admission() {
    let mut story = story("", "a\nb, dependencies: [a]\nc, always_run: true", &[("b", "1 0")]).play();
    assert_eq!(story.tell(Event::PauseRequested).unwrap_err().code(), "JOB_TERMINAL");
    story.tell(Event::RetryFailedRequested).unwrap();
    assert!(story.run.state() == crate::engine::JobState::Pending);
    story.tell(Event::Admitted).unwrap();
    story.go_on();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "a b c b c"));
    assert_eq!(story.tell(Event::RetryFailedRequested).unwrap_err().code(), "NOTHING_TO_RETRY");
    story.tell(Event::RerunRequested { task: TaskIndex(0) }).unwrap();
    story.tell(Event::Admitted).unwrap();
    story.go_on();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "a b c b c a b c"));
}

#[test]
fn attempts_that_are_not_known_and_leases_given_twice_are_refused() {
    let mut story = story("", "a", &[]);
    story.tell(Event::Admitted).unwrap();
    let unknown = story.tell(Event::AttemptStarted { attempt: AttemptNumber(7) }).unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.to_string().as_str()),
        ("UNKNOWN_ATTEMPT", "attempt 7 is not known to this job")
    );
    story.tell(Event::AttemptLeased { attempt: AttemptNumber(1) }).unwrap();
    let twice = story.tell(Event::AttemptLeased { attempt: AttemptNumber(1) }).unwrap_err();
    assert_eq!(
        (twice.code(), twice.to_string().as_str()),
        ("ILLEGAL_TRANSITION", "attempt 1 is LEASED and cannot become LEASED")
    );
}

#[test]
fn an_attempt_that_never_started_is_rescheduled_no_longer_than_until() {
    // The queen ends an attempt that cannot be rendered without giving it to an ant.
    let mut story = story("", "a, on_exit_code: {INVALID: {reschedule: 1m, until: 3m}}", &[]);
    story.tell(Event::Admitted).unwrap();
    let mut attempts = 0;
    while let Some(attempt) = story.ready.front().copied() {
        attempts += 1;
        assert!(attempts <= 4, "it is rescheduled for ever");
        let result = AttemptResult::Named(ResultName::Invalid);
        story.tell(Event::AttemptFinished { attempt, result, failure: None, retry_after: None }).unwrap();
        if let Some((timer, due)) = story.timers.pop_first() {
            story.now = due;
            story.tell(Event::TimerFired { timer }).unwrap();
        }
    }
    assert_eq!(attempts, 4);
    assert_eq!((story.state(), story.failure().code.as_str()), (Failed, "EXPIRED"));
}

#[test]
fn a_forced_cancel_stops_an_always_run_task_that_a_route_started() {
    let mut story = story("", "a, on_completed: [w, b]\nb\nw, always_run: true", &[]);
    story.tell(Event::Admitted).unwrap();
    let a = story.ready[0];
    story.tell(Event::AttemptLeased { attempt: a }).unwrap();
    story
        .tell(Event::AttemptFinished { attempt: a, result: AttemptResult::Exit(0), failure: None, retry_after: None })
        .unwrap();
    let w = story.plan.task_index("w").unwrap();
    let w = story.run.latest_attempt(w).unwrap();
    story.tell(Event::AttemptLeased { attempt: w }).unwrap();
    story.tell(Event::CancelRequested { reason: "now".to_owned(), force: true }).unwrap();
    assert!(story.run.attempt(w).unwrap().killed, "force stops always_run tasks too");
}
