//! What ants are told about the directories that the tasks of a job share.

use std::time::Duration;

use atta_core::definition::KeepWorkspace;
use atta_core::engine::JobState;
use atta_core::protocol::ant::{DEFAULT_LEASE, Orders, WorkspaceRelease};
use atta_server::scheduler::JobCommand;

use super::rig::{Ant, Rig, definition};

const SHARED: &str = "workspace: {keep: always, ttl: 2h, size_limit: 1MB}";

fn two_tasks(keys: &str) -> String {
    definition(keys, &[("a", "on_completed: b"), ("b", "")])
}

/// The releases in the answers, whichever message they came with.
fn releases(orders: &[&Orders]) -> Vec<WorkspaceRelease> {
    orders.iter().flat_map(|orders| orders.releases.clone()).collect()
}

#[tokio::test]
pub(crate) async fn tasks_of_a_job_share_a_workspace_which_is_released_with_the_verdict() {
    let rig = Rig::new().await;
    rig.upload(&two_tasks(SHARED)).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    let order = first.workspace.clone().unwrap();
    assert_eq!(
        (order.keep, order.ttl, order.size_limit),
        (KeepWorkspace::Always, Duration::from_hours(2), Some(1_000_000))
    );
    assert_eq!((&order.id.job_id, order.id.nonce.len(), order.made), (&job, 8, false));

    ant.start(&rig.queen, &first).await;
    let answer = ant.finish(&rig.queen, &first).await;
    assert!(answer.releases.is_empty());
    let second = &answer.assignments[0];
    let again = second.workspace.clone().unwrap();
    assert!(again.made && again.id == order.id, "{again:?}");

    let last = ant.finish(&rig.queen, second).await;
    let release = WorkspaceRelease { workspace: order.id, outcome: Some(JobState::Completed) };
    assert_eq!(last.releases, [release]);
}

#[tokio::test]
pub(crate) async fn a_job_without_a_workspace_says_nothing_about_one() {
    let rig = Rig::new().await;
    rig.upload(&two_tasks("")).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    assert!(first.workspace.is_none() && first.cache.is_none());
    ant.work(&rig.queen).await;
}

#[tokio::test]
pub(crate) async fn a_job_that_begins_anew_gets_a_new_workspace_and_one_that_goes_on_keeps_it() {
    for (retry_from, same) in [("failed", true), ("start", false)] {
        let rig = Rig::new().await;
        let keys = format!("{SHARED}\nretry: 1\nretry_from: {retry_from}\ndelay_between_retries: 1s");
        rig.upload(&two_tasks(&keys)).await;
        rig.submit("flow").await;
        let mut ant = Ant::new("ant", 1).with_code("b", &[1, 0]);
        let first = ant.poll(&rig.queen).await.assignments.remove(0);
        ant.start(&rig.queen, &first).await;
        let second = ant.finish(&rig.queen, &first).await.assignments.remove(0);
        let failed = ant.finish(&rig.queen, &second).await;
        rig.advance(Duration::from_secs(2)).await;
        let third = ant.poll(&rig.queen).await;
        let order = third.assignments[0].workspace.clone().unwrap();
        let old = first.workspace.unwrap().id;
        assert_eq!((order.id == old, order.made), (same, same), "{retry_from}");
        let released = releases(&[&failed, &third]);
        if same {
            assert_eq!(released, []);
        } else {
            assert_eq!(released, [WorkspaceRelease { workspace: old, outcome: Some(JobState::Failed) }]);
        }
    }
}

#[tokio::test]
pub(crate) async fn what_an_ant_holds_without_need_is_released_whenever_it_asks() {
    let mut rig = Rig::new().await;
    rig.upload(&two_tasks(SHARED)).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1).with_code("b", &[1]);
    let first = ant.poll(&rig.queen).await.assignments.remove(0);
    let id = first.workspace.clone().unwrap().id;
    ant.workspaces = vec![id.clone()];
    ant.start(&rig.queen, &first).await;
    let second = ant.finish(&rig.queen, &first).await.assignments.remove(0);

    // The queen is killed; the ant comes back and says what it has: the job is live, and the workspace was made.
    rig.restart().await;
    let mut ant = Ant { session: 2, workspaces: vec![id.clone()], ..Ant::new("ant", 1) }.with_code("b", &[1]);
    let orders = ant.poll(&rig.queen).await;
    assert_eq!(orders.releases, []);
    let again = &orders.assignments[0];
    assert_eq!(again.task, second.task);
    assert!(again.workspace.as_ref().is_some_and(|order| order.made && order.id == id));
    ant.finish(&rig.queen, again).await;
    assert_eq!(rig.state(&job).await, "FAILED");

    // As long as it names the workspace it is told again, also by a queen that has forgotten the job.
    for restart in [false, true] {
        if restart {
            rig.restart().await;
        }
        let release = WorkspaceRelease { workspace: id.clone(), outcome: Some(JobState::Failed) };
        assert_eq!(ant.poll(&rig.queen).await.releases, [release], "{restart}");
    }
    let mut unknown = id.clone();
    unknown.job_id.0 = "job_nobody".to_owned();
    ant.workspaces = vec![unknown.clone()];
    assert_eq!(ant.poll(&rig.queen).await.releases, [WorkspaceRelease { workspace: unknown, outcome: None }]);

    // A retry by hand brings the job back with the same workspace.
    rig.queen.command(&job, JobCommand::RetryFailed).await.unwrap();
    ant.workspaces = vec![id.clone()];
    let orders = ant.poll(&rig.queen).await;
    assert_eq!(orders.releases, []);
    assert!(orders.assignments[0].workspace.as_ref().is_some_and(|order| order.made && order.id == id));
}

#[tokio::test]
pub(crate) async fn a_task_waits_for_a_day_for_the_lost_ant_that_has_the_workspace_and_says_so() {
    let rig = Rig::new().await;
    rig.upload(&two_tasks(SHARED)).await;
    let job = rig.submit("flow").await;
    let mut holder = Ant::new("b-holder", 1);
    let first = holder.poll(&rig.queen).await.assignments.remove(0);
    holder.workspaces = vec![first.workspace.clone().unwrap().id];
    holder.start(&rig.queen, &first).await;
    holder.slots = 0;
    let _ = holder.poll(&rig.queen).await;
    holder.finish(&rig.queen, &first).await;
    rig.pass(DEFAULT_LEASE * 2).await;
    let mut other = Ant::new("a-other", 1);
    assert!(other.poll(&rig.queen).await.assignments.is_empty(), "it may come back");
    rig.settle().await;
    let reason = format!("SELECT reason FROM attempts WHERE job_id = '{job}' AND state = 'READY'");
    let waits = "waits for the ant b-holder, of which nothing is heard: it has the workspace of the job";
    assert_eq!(rig.rows(&reason).await, [waits]);
    rig.advance(Duration::from_hours(24)).await;
    let orders = other.poll(&rig.queen).await;
    assert!(orders.assignments[0].workspace.as_ref().is_some_and(|order| order.made), "which it does not have");
}

#[tokio::test]
pub(crate) async fn a_task_goes_to_the_ant_that_holds_the_workspace() {
    let rig = Rig::new().await;
    rig.upload(&two_tasks(SHARED)).await;
    rig.submit("flow").await;
    let mut holder = Ant::new("b-holder", 1);
    let first = holder.poll(&rig.queen).await.assignments.remove(0);
    holder.workspaces = vec![first.workspace.clone().unwrap().id];
    let mut other = Ant::new("a-other", 1);
    assert!(other.poll(&rig.queen).await.assignments.is_empty());
    holder.start(&rig.queen, &first).await;
    // The holder is busy with nothing, but does not take more now.
    holder.slots = 0;
    let _ = holder.poll(&rig.queen).await;
    holder.finish(&rig.queen, &first).await;
    assert!(other.poll(&rig.queen).await.assignments.is_empty(), "the workspace is not here");
    holder.slots = 1;
    assert_eq!(holder.poll(&rig.queen).await.assignments[0].task, "b");
}

#[tokio::test]
pub(crate) async fn names_of_branches_from_outside_are_checked_before_any_ant_sees_them() {
    let rig = Rig::new().await;
    let git = "params: {Branch: {type: string, required: true}}\nworkspace: {git: {url: /srv/a.git, branch: \"{{ Branch }}\"}}";
    rig.upload(&two_tasks(git)).await;
    for (branch, reason) in [
        ("--upload-pack=touch pwned", "begins with `-`"),
        ("two words", "has a space"),
        ("", "is empty"),
        ("a..b", "has `..`"),
        ("x\ny", "control character"),
    ] {
        let mut request = super::rig::request("flow");
        request.params.insert("Branch".to_owned(), branch.into());
        let job = rig.queen.submit(request, "test", None).await.unwrap().job_id;
        let mut ant = Ant::new("ant", 1);
        assert!(ant.poll(&rig.queen).await.assignments.is_empty(), "{branch}");
        let failure =
            rig.rows(&format!("SELECT error_code, error_message FROM attempts WHERE job_id = '{job}'")).await.concat();
        assert!(failure.contains("INVALID") && failure.contains("workspace.git.branch"), "{failure}");
        assert!(failure.contains(reason), "{branch:?}: {failure}");
    }
}

#[tokio::test]
pub(crate) async fn the_branch_of_an_order_has_the_nonce_of_its_attempt() {
    let rig = Rig::new().await;
    let git = "workspace: {git: {url: \"https://u:p@example.com/a.git\", branch: \"ai/{{ JobAttempt }}-{{ Nonce }}\"}}";
    rig.upload(&two_tasks(git)).await;
    rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    let order = ant.poll(&rig.queen).await.assignments[0].workspace.clone().unwrap();
    let git = order.git.unwrap();
    assert_eq!(git.branch.unwrap(), format!("ai/1-{}", order.id.nonce));
    assert_eq!((git.reference, git.discard_unpushed), (None, false));
}

#[tokio::test]
pub(crate) async fn cache_keys_are_rendered_for_each_task_and_checked() {
    let rig = Rig::new().await;
    let source = definition(
        "",
        &[
            ("a", "cache: {key: \"deps-{{ TaskType }}\", paths: [deps], restore_keys: [deps-]}\non_completed: b"),
            ("b", "cache: {key: \"{{ tasks.a.outputs.key }}\", paths: [deps]}"),
        ],
    );
    rig.upload(&source).await;
    let job = rig.submit("flow").await;
    let mut ant = Ant::new("ant", 1);
    ant.outputs.insert("a".to_owned(), [("key".to_owned(), "two\nlines".into())].into_iter().collect());
    ant.work(&rig.queen).await;
    let cache = ant.seen[0].cache.clone().unwrap();
    assert_eq!(
        (cache.key.as_str(), cache.paths, cache.restore_keys),
        ("deps-a", vec!["deps".into()], vec!["deps-".into()])
    );
    let failure = rig
        .rows(&format!("SELECT error_code, error_message FROM attempts WHERE job_id = '{job}' AND number = 2"))
        .await
        .concat();
    assert!(failure.contains("the cache key") && failure.contains("has a control character"), "{failure}");
}
