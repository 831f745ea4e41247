//! A job that runs another one again.

use super::story::{Story, plan_of, story};
use crate::engine::JobState::{Completed, Failed};
use crate::engine::{EngineError, Event, JobRun, TaskState};

/// The new job, before it is admitted.
fn again(old: &Story, tasks: &str, from: Option<&str>) -> Result<Story, String> {
    let plan = plan_of("", tasks);
    let event = old.run.adoption(&old.plan, &plan, from).map_err(|error| format!("{}: {error}", error.code()))?;
    let mut new = story("", tasks, &[]);
    new.tell(event).map_err(|error| error.to_string())?;
    Ok(new)
}

#[test]
fn what_completed_is_taken_over_and_the_rest_runs() {
    let tasks = "a, on_exit_code: {2: b, 0: c}\nb\nc\nd, dependencies: [b]";
    let old = story("", tasks, &[("a", "2"), ("b", "1")]).play();
    assert_eq!((old.state(), old.started().as_str()), (Failed, "a b"));
    let mut new = again(&old, tasks, None).unwrap();
    assert_eq!(
        (new.task("a"), new.task("b"), new.run.nonce()),
        (TaskState::Failed, TaskState::Pending, old.run.nonce())
    );
    assert_eq!(new.task("c"), TaskState::Skipped);
    new.entropy = 7;
    let new = new.play();
    assert_eq!((new.state(), new.started().as_str(), new.run.nonce()), (Completed, "b d", old.run.nonce()));
}

#[test]
fn a_new_task_runs_and_what_is_kept_must_be_the_same() {
    let old = story("", "a\nb, dependencies: [a]", &[("b", "1")]).play();
    let added = again(&old, "a\nx, dependencies: [a]\nb, dependencies: [x]", None).unwrap().play();
    assert_eq!((added.state(), added.started().as_str()), (Completed, "x b"));
    for (tasks, message) in [
        (
            "b",
            "NOT_ADOPTABLE: task \"a\" would be kept as it is, but the new version does not have it; start from an earlier task",
        ),
        (
            "x\na, dependencies: [x]\nb, dependencies: [a]",
            "NOT_ADOPTABLE: task \"a\" would be kept as it is, but it has other dependencies in the new version; rerun from it or from an earlier task",
        ),
        (
            "x, on_completed: a\na\nb, dependencies: [a]",
            "NOT_ADOPTABLE: task \"a\" would be kept as it is, but it follows from a task that runs in the new version; rerun from it or from an earlier task",
        ),
    ] {
        assert_eq!(again(&old, tasks, None).err().as_deref(), Some(message), "{tasks}");
    }
    let unknown = again(&old, "a\nb, dependencies: [a]", Some("z")).err().unwrap();
    assert_eq!(unknown, "UNKNOWN_TASK: the new version has no task \"z\" to start from");
}

#[test]
fn a_job_can_begin_again_from_any_task_of_a_completed_one() {
    let tasks = "a\nb, dependencies: [a]\nz, always_run: true";
    let old = story("", tasks, &[]).play();
    assert_eq!(again(&old, tasks, None).err().unwrap().split(':').next(), Some("NOTHING_TO_RETRY"));
    let new = again(&old, tasks, Some("b")).unwrap().play();
    assert_eq!((new.state(), new.started().as_str()), (Completed, "b z"));
}

#[test]
fn tasks_are_taken_over_once_and_before_anything_began() {
    let tasks = "a\nb, dependencies: [a]";
    let old = story("", tasks, &[("b", "1")]).play();
    let event = old.run.adoption(&old.plan, &old.plan, None).unwrap();
    let mut new = again(&old, tasks, None).unwrap();
    assert_eq!(new.tell(event.clone()).unwrap_err().code(), "NOT_PENDING");
    let Event::TasksAdopted { nonce, mut kept, .. } = event else { panic!("{event:?}") };
    kept[0].state = TaskState::Cancelled;
    let mut other = story("", tasks, &[]);
    let before = other.run.clone();
    let refused = other.tell(Event::TasksAdopted { nonce, kept, culprit: None }).unwrap_err();
    assert_eq!(refused.to_string(), "task \"a\" cannot be taken over: it has not settled");
    assert!(matches!(refused, EngineError::NotAdoptable { .. }) && other.run == before);
}

#[test]
fn a_job_that_was_cancelled_before_it_began_still_keeps_what_it_took_over() {
    let tasks = "a\nb, dependencies: [a]";
    let old = story("", tasks, &[("b", "1")]).play();
    let mut new = again(&old, tasks, Some("b")).unwrap();
    new.tell(Event::CancelRequested { reason: "no".to_owned(), force: false }).unwrap();
    new.tell(Event::RetryFailedRequested).unwrap();
    let new = new.play();
    assert_eq!((new.state(), new.started().as_str(), new.run.nonce()), (Completed, "b", old.run.nonce()));
    let _: &JobRun = &new.run;
}
