//! What follows when budgets have nothing left.

use super::story::story;
use crate::engine::TaskState::{Completed, Ready, Waiting};
use crate::engine::{AgentClass, AttemptNumber, AttemptResult, Event, Failure, JobState};

fn over(attempt: u32) -> Event {
    Event::AttemptOverBudget {
        attempt: AttemptNumber(attempt),
        result: AttemptResult::Agent(AgentClass::Budget),
        failure: Failure { code: "BUDGET".to_owned(), message: "its part is used up".to_owned() },
    }
}

fn used_up(fail: bool) -> Event {
    Event::BudgetUsedUp { reason: "BUDGET: 5.02 of 5.00 USD are used".to_owned(), fail }
}

fn begun(tasks: &str) -> super::story::Story {
    let mut story = story("", tasks, &[]);
    story.tell(Event::Admitted).unwrap();
    story.tell(Event::AttemptLeased { attempt: AttemptNumber(1) }).unwrap();
    story
}

#[test]
fn an_agent_that_used_up_its_part_goes_on_with_a_new_attempt_and_takes_no_route_and_no_retry() {
    let mut story = begun("a, retry: 1, on_failed: b\nb");
    for attempt in 1..6 {
        story.tell(over(attempt)).unwrap();
        assert_eq!((story.task("a"), story.state()), (Ready, JobState::Running));
        story.tell(Event::AttemptLeased { attempt: AttemptNumber(attempt + 1) }).unwrap();
    }
    story.tell(over(3)).unwrap();
    assert_eq!(story.run.attempt_count(), 6, "what comes late changes nothing");
    let failed = |attempt| Event::AttemptFinished {
        attempt: AttemptNumber(attempt),
        result: AttemptResult::Exit(1),
        failure: None,
        retry_after: None,
    };
    story.tell(failed(6)).unwrap();
    assert_eq!(story.task("a"), Waiting, "its retry is still there");
}

#[test]
fn a_job_with_nothing_left_is_paused_with_the_reason_and_goes_on_when_it_is_resumed() {
    let mut story = begun("a");
    story.tell(over(1)).unwrap();
    story.tell(used_up(false)).unwrap();
    assert_eq!((story.state(), story.reason().as_str()), (JobState::Paused, "BUDGET: 5.02 of 5.00 USD are used"));
    assert_eq!(story.task("a"), Ready);
    story.tell(Event::ResumeRequested).unwrap();
    story.go_on();
    assert_eq!((story.state(), story.task("a")), (JobState::Completed, Completed));
}

#[test]
fn one_that_ends_while_the_job_is_paused_waits_for_the_resume_too() {
    let mut story = begun("a\nb");
    story.tell(used_up(false)).unwrap();
    story.tell(over(1)).unwrap();
    assert_eq!(story.task("a"), Waiting);
    story.tell(Event::ResumeRequested).unwrap();
    assert_eq!(story.task("a"), Ready);
}

#[test]
fn a_budget_that_fails_stops_the_job_once_and_for_all() {
    let mut story = story("retry: 2", "a\nb\nc, always_run: true", &[]);
    story.tell(Event::Admitted).unwrap();
    story.tell(Event::AttemptLeased { attempt: AttemptNumber(1) }).unwrap();
    story.tell(used_up(true)).unwrap();
    // In the final phase there is no budget.
    story.tell(over(1)).unwrap();
    story.tell(used_up(true)).unwrap();
    story.go_on();
    assert_eq!((story.state(), story.run.job_attempt()), (JobState::Failed, 1));
    assert_eq!(story.failure().code, "BUDGET_EXCEEDED");
    assert_eq!(story.task("c"), Completed, "always_run runs");
}
