//! `fan_out`, `queue_timeout`, and what a job waits for, rule by rule.

use super::story::{Story, definition_of, story, story_of};
use crate::engine::JobState::{Completed, Failed, Paused, Waiting};
use crate::engine::{AttemptNumber, AttemptResult, Effect, Event, ResultName, TaskIndex, TaskState, Timer};
use crate::graph::Plan;
use crate::time::UnixMillis;

/// The states of the instances of the first task, by their first letters.
fn instances(story: &Story) -> String {
    let items = story.run.fan_out(TaskIndex(0)).unwrap().items;
    let letter = |index| story.run.instance(TaskIndex(0), index).unwrap().state.as_str()[..1].to_owned();
    (0..items).map(letter).collect()
}

fn attempts_of(story: &Story, instance: u32) -> u32 {
    story.run.instance(TaskIndex(0), instance).unwrap().attempts
}

#[test]
fn the_first_failed_item_in_item_order_decides_the_route_once() {
    let tasks = "a, fan_out: {items: [x, y, z]}, on_exit_code: {0: all, 3: three, 4: four}\nall\nthree\nfour";
    assert_eq!(story("", tasks, &[]).play().started(), "a a a all");
    let story = story("", tasks, &[("a#1", "4"), ("a#2", "3")]).play();
    assert_eq!((story.state(), story.started().as_str(), instances(&story).as_str()), (Completed, "a a a four", "CFF"));
    let routes = story.effects.iter().filter(|effect| matches!(effect, Effect::RouteTaken { .. })).count();
    assert_eq!(routes, 1);
}

#[test]
fn an_unrouted_failed_item_is_named() {
    let story = story("", "a, fan_out: {items: [x, y, z]}", &[("a#1", "4")]).play();
    assert_eq!(story.state(), Failed);
    assert_eq!(
        story.failure().message,
        "task \"a\" failed with exit code 4 and no route matched (item 1 of 3: exit code 4)"
    );
}

#[test]
fn no_items_complete_and_items_that_cannot_be_had_fail() {
    let tasks = "a, fan_out: {items: []}, on_completed: b, on_failed: c\nb\nc";
    let empty = story("", tasks, &[]).items("a", Ok(0)).play();
    assert_eq!((empty.state(), empty.started().as_str(), empty.task("a")), (Completed, "b", TaskState::Completed));
    let broken = story("", tasks, &[]).items("a", Err("items is no array")).play();
    assert_eq!((broken.started().as_str(), broken.task("a")), ("c", TaskState::Failed));
    assert_eq!(broken.run.task_result(TaskIndex(0)), Some(AttemptResult::Named(ResultName::Invalid)));
    assert_eq!(broken.run.task_failure(TaskIndex(0)).unwrap().message, "its fan_out: items is no array");
}

#[test]
fn at_most_max_parallel_instances_have_an_attempt_and_a_delay_frees_the_place() {
    let tasks = "a, retry: 1, delay_between_retries: 1h, fan_out: {items: [x], max_parallel: 2}";
    let mut story = story("", tasks, &[("a#0", "1 0")]).items("a", Ok(4));
    story.tell(Event::Admitted).unwrap();
    assert_eq!(instances(&story), "RRPP");
    story.finish_next();
    assert_eq!(instances(&story), "WRRP", "what waits for its retry leaves its place to the next item");
    story.go_on();
    assert_eq!((story.state(), instances(&story).as_str(), attempts_of(&story, 0)), (Completed, "CCCC", 2));
}

#[test]
fn retries_restarts_and_reschedules_count_per_instance() {
    let tasks = "a, retry: 1, delay_between_retries: 0s, fan_out: {items: [x]}, on_exit_code: {3: RESTART_TASK, 10: {reschedule: 1m}, FAILED: b}\nb";
    let story = story("", tasks, &[("a#0", "1 0"), ("a#1", "3 0"), ("a#2", "10 10 10 0")]).play();
    assert_eq!((story.state(), instances(&story).as_str()), (Completed, "CCC"));
    assert_eq!([0, 1, 2].map(|index| attempts_of(&story, index)), [2, 2, 4]);
    assert_eq!(story.now, UnixMillis(180_000));
}

#[test]
fn an_instance_without_restarts_left_fails_with_its_code() {
    let tasks = "a, fan_out: {items: [x]}, on_exit_code: {3: RESTART_TASK}";
    let story = story("", tasks, &[("a#1", "3")]).play();
    assert_eq!((story.state(), story.failure().code.as_str()), (Failed, "ERR_RESTART_TASK"));
}

#[test]
fn fail_fast_of_a_fan_out_ends_the_other_instances_and_cancelled_ones_do_not_count() {
    let tasks = "a, fan_out: {items: [x], fail_fast: true}, on_exit_code: {143: killed, 5: five}\nkilled\nfive";
    let mut story = story("", tasks, &[]).items("a", Ok(4));
    story.tell(Event::Admitted).unwrap();
    for number in [1, 2] {
        story.tell(Event::AttemptLeased { attempt: AttemptNumber(number) }).unwrap();
    }
    let result = AttemptResult::Exit(5);
    story.tell(Event::AttemptFinished { attempt: AttemptNumber(2), result, failure: None, retry_after: None }).unwrap();
    assert_eq!(instances(&story), "LFCC");
    assert!(story.effects.iter().any(|effect| matches!(effect, Effect::KillAttempt { attempt: AttemptNumber(1), .. })));
    let result = AttemptResult::Exit(143);
    story.tell(Event::AttemptFinished { attempt: AttemptNumber(1), result, failure: None, retry_after: None }).unwrap();
    assert_eq!((instances(&story).as_str(), story.started.last().unwrap().as_str()), ("CFCC", "five"));
    let first = story.run.instance(TaskIndex(0), 0).unwrap();
    assert_eq!((first.state, first.result), (TaskState::Cancelled, Some(AttemptResult::Exit(143))));
}

#[test]
fn allowed_failures_count_as_completed_instances() {
    let tasks =
        "a, allow_failure: true, fan_out: {items: [x], fail_fast: true}, on_exit_code: {COMPLETED: b, 3: c}\nb\nc";
    let allowed = story("", tasks, &[("a#0", "7")]).play();
    assert_eq!(
        (allowed.started().as_str(), allowed.task("a"), instances(&allowed).as_str()),
        ("a a a b", TaskState::Completed, "FCC")
    );
    assert_eq!(allowed.run.fan_out(TaskIndex(0)).unwrap().completed, 3);
    let mut routed = story("", tasks, &[("a#1", "3")]);
    routed.tell(Event::Admitted).unwrap();
    routed.go_on();
    assert_eq!(routed.started.last().unwrap(), "c", "a failure that has a route is none that is allowed");
}

#[test]
fn after_pause_job_only_what_did_not_complete_runs_again() {
    let tasks = "a, fan_out: {items: [x]}, on_exit_code: {2: PAUSE_JOB}\nb, dependencies: [a]";
    let mut story = story("", tasks, &[("a#1", "2 0")]).play();
    assert_eq!((story.state(), story.task("a"), instances(&story).as_str()), (Paused, TaskState::Waiting, "CFC"));
    story.tell(Event::ResumeRequested).unwrap();
    assert_eq!((story.task("a"), instances(&story).as_str()), (TaskState::Ready, "CRC"));
    story.go_on();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "a a a a b"));
    assert_eq!([0, 1, 2].map(|index| attempts_of(&story, index)), [1, 2, 1]);
}

#[test]
fn while_the_job_is_paused_no_instance_begins() {
    let tasks = "a, retry: 1, delay_between_retries: 1s, fan_out: {items: [x], max_parallel: 1}";
    let mut story = story("", tasks, &[]);
    story.tell(Event::Admitted).unwrap();
    story.tell(Event::AttemptLeased { attempt: AttemptNumber(1) }).unwrap();
    story.tell(Event::PauseRequested).unwrap();
    let result = AttemptResult::Exit(1);
    story.tell(Event::AttemptFinished { attempt: AttemptNumber(1), result, failure: None, retry_after: None }).unwrap();
    assert_eq!((instances(&story).as_str(), story.task("a")), ("WPP", TaskState::Waiting));
    let (timer, due) = story.timers.pop_first().unwrap();
    story.now = due;
    story.tell(Event::TimerFired { timer }).unwrap();
    assert_eq!(instances(&story), "PPP");
    story.tell(Event::ResumeRequested).unwrap();
    assert_eq!((instances(&story).as_str(), story.task("a")), ("RPP", TaskState::Ready));
    story.go_on();
    assert_eq!((story.state(), story.started().as_str()), (Completed, "a a a a"));
}

#[test]
fn a_job_attempt_keeps_the_items_and_what_completed() {
    let tasks = "a, fan_out: {items: [x]}\nb, dependencies: [a]";
    let story = story("retry: 1\ndelay_between_retries: 0s", tasks, &[("a#2", "1 0")]).play();
    assert_eq!((story.state(), story.started().as_str(), instances(&story).as_str()), (Completed, "a a a a b", "CCC"));
    assert_eq!(story.asked, 1);
}

#[test]
fn a_job_attempt_that_begins_further_up_asks_for_the_items_again() {
    let tasks = "a, fan_out: {items: [x]}, dependencies: [before]\nbefore";
    let mut story = story("", tasks, &[("a#2", "1 0")]).play();
    story.tell(Event::RerunRequested { task: TaskIndex(1) }).unwrap();
    story.tell(Event::Admitted).unwrap();
    story.go_on();
    assert_eq!((story.state(), story.started().as_str(), story.asked), (Completed, "before a a a before a a a", 2));
}

#[test]
fn a_rerun_of_a_fan_out_in_which_all_completed_is_done_anew() {
    let mut story = story("", "a, fan_out: {items: [x]}", &[]).play();
    story.tell(Event::RerunRequested { task: TaskIndex(0) }).unwrap();
    story.tell(Event::Admitted).unwrap();
    story.go_on();
    assert_eq!((story.started().as_str(), story.asked), ("a a a a a a", 2));
}

#[test]
fn an_instance_is_returned_and_interrupted_alone() {
    let mut story = story("", "a, fan_out: {items: [x]}", &[]);
    story.tell(Event::Admitted).unwrap();
    for attempt in [1, 2].map(AttemptNumber) {
        story.tell(Event::AttemptLeased { attempt }).unwrap();
    }
    assert_eq!((instances(&story).as_str(), story.task("a")), ("LLR", TaskState::Running));
    story.tell(Event::AttemptReturned { attempt: AttemptNumber(1) }).unwrap();
    story.tell(Event::AttemptInterrupted { attempt: AttemptNumber(2) }).unwrap();
    assert_eq!((instances(&story).as_str(), story.task("a")), ("RRR", TaskState::Ready));
    assert_eq!([0, 1, 2].map(|index| attempts_of(&story, index)), [1, 2, 1]);
}

#[test]
fn an_always_run_fan_out_runs_in_the_final_phase() {
    let mut definition = definition_of("", "z, fan_out: {items: [x]}\na");
    definition.tasks[0].always_run = true;
    let (plan, _) = Plan::build(&definition).unwrap();
    let story = story_of(plan, &[("a", "1"), ("z#1", "1")]).play();
    assert_eq!((story.state(), story.started().as_str()), (Failed, "a z z z"));
    assert_eq!((story.task("z"), instances(&story).as_str()), (TaskState::Failed, "CFC"));
    assert_eq!(story.failure().message, "task \"a\" failed with exit code 1 and no route matched");
}

#[test]
fn ten_thousand_instances_cost_a_bounded_number_of_effects_each() {
    let mut story = story("", "a, fan_out: {items: [x], max_parallel: 100}\nb, dependencies: [a]", &[]);
    story.items.insert("a".to_owned(), Ok(10_000));
    story.tell(Event::Admitted).unwrap();
    let mut most = 0;
    while let Some(attempt) = story.ready.front().copied() {
        let before = story.effects.len();
        story.tell(Event::AttemptLeased { attempt }).unwrap();
        story
            .tell(Event::AttemptFinished { attempt, result: AttemptResult::Exit(0), failure: None, retry_after: None })
            .unwrap();
        most = most.max(story.effects.len() - before);
        story.effects.clear();
    }
    assert_eq!((story.state(), story.run.attempt_count()), (Completed, 10_001));
    assert!(most <= 12, "{most} effects of one instance");
}

#[test]
fn an_attempt_that_no_ant_takes_in_time_ends_as_queue_timed_out() {
    let tasks = "a, queue_timeout: 5m, retry: 1, delay_between_retries: 0s, on_exit_code: {QUEUE_TIMED_OUT: b, FAILED: c}\nb\nc";
    let mut story = story("", tasks, &[]);
    story.tell(Event::Admitted).unwrap();
    let timer = Timer::QueueTimeout { attempt: AttemptNumber(1) };
    assert_eq!(story.timers.get(&timer), Some(&UnixMillis(300_000)));
    story.tell(Event::TimerFired { timer }).unwrap();
    assert_eq!(story.ready, [AttemptNumber(1)], "it fired before its time");
    story.now = UnixMillis(300_000);
    story.tell(Event::TimerFired { timer }).unwrap();
    assert_eq!(story.started(), "a b", "a route by the result's name is a decision");
    assert!(story.timers.is_empty());
}

#[test]
fn the_queue_timeout_is_over_with_the_lease_and_begins_anew_with_a_return() {
    let mut story = story("", "a, queue_timeout: 5m", &[]);
    story.tell(Event::Admitted).unwrap();
    let attempt = AttemptNumber(1);
    story.tell(Event::AttemptLeased { attempt }).unwrap();
    assert!(story.timers.is_empty());
    story.now = UnixMillis(100_000);
    story.tell(Event::AttemptReturned { attempt }).unwrap();
    assert_eq!(story.timers.get(&Timer::QueueTimeout { attempt }), Some(&UnixMillis(400_000)));
}

#[test]
fn the_queue_timeout_does_not_count_while_the_job_is_paused() {
    let mut story = story("", "a, queue_timeout: 5m", &[]);
    story.tell(Event::Admitted).unwrap();
    story.tell(Event::PauseRequested).unwrap();
    let timer = Timer::QueueTimeout { attempt: AttemptNumber(1) };
    story.now = UnixMillis(900_000);
    story.tell(Event::TimerFired { timer }).unwrap();
    assert_eq!(story.task("a"), TaskState::Ready);
    story.tell(Event::ResumeRequested).unwrap();
    assert_eq!(story.timers.get(&timer), Some(&UnixMillis(1_200_000)));
}

#[test]
fn a_waiting_job_says_what_it_waits_for() {
    let tasks = "review\npoll, on_exit_code: {1: {reschedule: 1m}}\nmany, fan_out: {items: [x]}, on_exit_code: {1: {reschedule: 2m}}";
    let mut story = story("", tasks, &[("poll", "1"), ("many#0", "1"), ("many#1", "1"), ("many#2", "1")]);
    story.tell(Event::Admitted).unwrap();
    let review = story.ready.pop_front().unwrap();
    story.tell(Event::AttemptLeased { attempt: review }).unwrap();
    story.tell(Event::AttemptWaiting { attempt: review, reason: "an approval".to_owned() }).unwrap();
    for _ in 0..4 {
        story.finish_next();
    }
    assert_eq!(
        (story.state(), story.reason().as_str()),
        (Waiting, "task \"review\" waits for an approval, and 2 more")
    );
    let result = AttemptResult::Named(ResultName::Approved);
    story.tell(Event::AttemptFinished { attempt: review, result, failure: None, retry_after: None }).unwrap();
    assert_eq!(story.reason(), "task \"poll\" begins again at 1970-01-01T00:01:00.000Z, and 1 more");
    story.tell(Event::TimerFired { timer: Timer::TaskRetry { task: TaskIndex(1), visit: 1, attempt: 2 } }).unwrap();
    assert_eq!(story.state(), Waiting, "it fired before its time");
    story.tell(Event::WakeRequested { task: TaskIndex(1) }).unwrap();
    story.results.clear();
    story.finish_next();
    assert_eq!(story.reason(), "task \"many\" (item 0 of 3) begins again at 1970-01-01T00:02:00.000Z");
    story.tell(Event::WakeRequested { task: TaskIndex(2) }).unwrap();
    assert_eq!(story.ready.len(), 3);
    let refused = story.tell(Event::WakeRequested { task: TaskIndex(2) }).unwrap_err();
    assert_eq!(refused.code(), "NOT_WAITING");
    story.go_on();
    assert_eq!((story.state(), story.timers.len()), (Completed, 0));
}
