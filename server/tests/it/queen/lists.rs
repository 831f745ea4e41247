//! What lists and counts of jobs need: rows that are written with the jobs.

use atta_core::engine::JobState;
use atta_server::scheduler::JobCommand;
use atta_server::store::{JobFilter, JobOrder, LabelFilter, Reads};
use serde_json::{Value, json};

use super::rig::{Ant, Rig, START, definition};

fn label(name: &str, value: Option<&str>) -> LabelFilter {
    LabelFilter { name: name.to_owned(), value: value.map(str::to_owned) }
}

fn reads(rig: &Rig) -> Reads {
    Reads::new(rig.queen.store().clone())
}

async fn listed(rig: &Rig, filter: &JobFilter) -> Vec<String> {
    let reads = reads(rig);
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = reads.jobs(filter, before.as_ref(), 1).await.unwrap();
        found.extend(page.jobs.into_iter().map(|job| job.job_id.0));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

#[tokio::test]
pub(crate) async fn jobs_are_found_by_the_labels_of_the_version_that_they_were_submitted_with() {
    let mut rig = Rig::new().await;
    rig.upload(&definition("labels: {team: core, tier: 2}", &[("a", "")])).await;
    let first = rig.submit("flow").await.0;
    rig.upload(&definition("labels: {team: web, \"a:b\": \"c:d\"}", &[("a", "")])).await;
    rig.set_clock(START + 1_000);
    let second = rig.submit("flow").await.0;
    rig.upload(&definition("", &[("a", "")]).replace("flow", "bare")).await;
    rig.set_clock(START + 2_000);
    let bare = rig.submit("bare").await.0;
    rig.upload(&definition("labels: {team: core}", &[("a", "")]).replace("flow", "other")).await;
    rig.set_clock(START + 3_000);
    let other = rig.submit("other").await.0;
    // As an earlier program left it: the labels are read from the texts again.
    rig.change("DELETE FROM version_labels").await;
    rig.change("DELETE FROM meta WHERE key = 'labels'").await;
    rig.restart().await;
    for (labels, expected) in [
        (vec![label("team", Some("core"))], vec![&other, &first]),
        (vec![label("team", None)], vec![&other, &second, &first]),
        (vec![label("team", Some("core")), label("tier", Some("2"))], vec![&first]),
        (vec![label("a:b", Some("c:d"))], vec![&second]),
        (vec![label("team", Some("Core"))], vec![]),
        (vec![label("tier", Some("2")), label("team", Some("web"))], vec![]),
        (vec![], vec![&other, &bare, &second, &first]),
    ] {
        let filter = JobFilter { labels, ..JobFilter::default() };
        assert_eq!(listed(&rig, &filter).await.iter().collect::<Vec<_>>(), expected, "{filter:?}");
        let total = reads(&rig).job_counts(&filter).await.unwrap().total;
        assert_eq!(total as usize, expected.len(), "{filter:?}");
    }
    let page = reads(&rig).jobs(&JobFilter::default(), None, 10).await.unwrap();
    let labels: Vec<String> = page.jobs.iter().map(|job| serde_json::to_string(&job.labels).unwrap()).collect();
    assert_eq!(labels, [r#"{"team":"core"}"#, "{}", r#"{"team":"web","a:b":"c:d"}"#, r#"{"team":"core","tier":"2"}"#]);
    // It is done once: a restart reads nothing again.
    rig.change("DELETE FROM version_labels").await;
    rig.restart().await;
    let filter = JobFilter { labels: vec![label("team", None)], ..JobFilter::default() };
    assert_eq!(listed(&rig, &filter).await, [""; 0]);
}

#[tokio::test]
pub(crate) async fn jobs_that_ended_are_listed_by_their_ends_and_jobs_are_counted_by_what_they_need() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "on_exit_code: {9: END_BLOCKED}")])).await;
    let mut ant = Ant::new("ant", 3).with_code("a", &[9]);
    for _ in 0..3 {
        rig.submit("flow").await;
    }
    let mut ended = Vec::new();
    for (assignment, seconds) in ant.poll(&rig.queen).await.assignments.iter().zip(1..) {
        rig.set_clock(START + 1_000 * seconds);
        ant.start(&rig.queen, assignment).await;
        ant.finish(&rig.queen, assignment).await;
        ended.push(assignment.job_id.0.clone());
    }
    let paused = rig.submit("flow").await;
    rig.queen.command(&paused, JobCommand::Pause).await.unwrap();
    let by_end = JobFilter { order: JobOrder::Finished, ..JobFilter::default() };
    assert_eq!(listed(&rig, &by_end).await, ended.iter().rev().cloned().collect::<Vec<_>>());
    let blocked = JobFilter { states: vec![JobState::Blocked], job_type: Some("flow".to_owned()), ..by_end.clone() };
    assert_eq!(listed(&rig, &blocked).await, ended[..1]);
    let counts = reads(&rig).job_counts(&JobFilter::default()).await.unwrap();
    let states: Vec<(&str, u32)> = counts.states.iter().map(|(state, count)| (state.as_str(), *count)).collect();
    assert_eq!(states, [("PAUSED", 1), ("COMPLETED", 2), ("BLOCKED", 1)]);
    assert_eq!((counts.total, counts.at_least.len()), (4, 0));
    assert_eq!((counts.needs.paused, counts.needs.budgets, counts.needs.blocked, counts.needs.approvals), (1, 0, 1, 0));
    rig.change(&format!("UPDATE jobs SET reason = 'BUDGET: all of it is used' WHERE id = '{paused}'")).await;
    rig.upload("job_type: ask\ntasks:\n  - {task_type: ask, method: APPROVAL, timeout: 1h}\n").await;
    rig.submit("ask").await;
    rig.settle().await;
    let counts = reads(&rig).job_counts(&JobFilter::default()).await.unwrap();
    assert_eq!((counts.needs.paused, counts.needs.budgets, counts.needs.approvals), (0, 1, 1));
    assert_eq!(counts.states["WAITING"], 1);
    let flow = JobFilter { job_type: Some("flow".to_owned()), ..JobFilter::default() };
    let counts = reads(&rig).job_counts(&flow).await.unwrap();
    assert_eq!((counts.total, counts.needs.approvals), (4, 0));
    let family = JobFilter { parent: Some(paused.0.clone()), ..JobFilter::default() };
    assert_eq!(reads(&rig).job_counts(&family).await.unwrap().total, 0);
}

#[tokio::test]
pub(crate) async fn a_job_that_has_begun_says_what_it_waits_for_while_nothing_of_it_runs() {
    for keys in ["", "fan_out: {items: [1, 2]}"] {
        let rig = Rig::new().await;
        let rare = format!("dependencies: [a]\ntags: [gpu]\n{keys}");
        rig.upload(&definition("", &[("a", ""), ("b", &rare), ("c", "dependencies: [a]")])).await;
        let reason = async || reads(&rig).jobs(&JobFilter::default(), None, 1).await.unwrap().jobs.remove(0).reason;
        let job = rig.submit("flow").await;
        let mut ant = Ant::new("ant", 1);
        let first = ant.poll(&rig.queen).await.assignments.remove(0);
        ant.start(&rig.queen, &first).await;
        assert_eq!(reason().await, None, "a runs");
        let next = ant.finish(&rig.queen, &first).await.assignments.remove(0);
        assert_eq!((next.task.as_str(), reason().await), ("c", None), "b waits, and c was given out");
        ant.finish(&rig.queen, &next).await;
        assert_eq!(rig.state(&job).await, "RUNNING");
        let waits = Some("waits for an ant with the tag gpu: no connected ant has it".to_owned());
        assert_eq!(reason().await, waits, "{keys}");
        assert_eq!(reads(&rig).job(&job).await.unwrap().unwrap().summary.reason, waits);
        let mut rare = Ant::new("rare", 1);
        rare.tags = vec!["gpu".to_owned()];
        assert_eq!(rare.poll(&rig.queen).await.assignments[0].task, "b");
        assert_eq!(reason().await, None, "b was given out");
    }
}

#[tokio::test]
pub(crate) async fn a_definition_lists_what_starts_its_jobs_by_itself() {
    let rig = Rig::new().await;
    rig.upload(&definition("", &[("a", "")]).replace("flow", "build")).await;
    let triggers = "triggers:\n- {type: webhook, name: push, auth: {bearer: \"{{ secrets.Push }}\"}}\n\
                    - {type: job, job_type: build, states: [COMPLETED, FAILED]}";
    rig.upload(&definition(triggers, &[("a", "")])).await;
    let expected = |secret_set: bool, enabled: bool| {
        json!([
            {"kind": "webhook", "name": "push", "path": "/api/v1/hooks/flow/push", "secret": "Push",
                "secret_set": secret_set, "enabled": enabled},
            {"kind": "job", "of": ["build"], "states": ["COMPLETED", "FAILED"], "enabled": enabled},
        ])
    };
    let listed = async || -> Value {
        let all = reads(&rig).definitions("", 10).await.unwrap();
        assert_eq!((all.len(), all[0].triggers.len()), (2, 0), "{all:?}");
        json!(all[1].triggers)
    };
    assert_eq!(listed().await, expected(false, true));
    rig.queen.put_config(Some("build"), "Push", "of-another-definition".into(), Some(true), false).await.unwrap();
    rig.queen.put_config(Some("flow"), "Push", "everybody sees this".into(), Some(false), false).await.unwrap();
    assert_eq!(listed().await, expected(false, true), "neither is a secret of this definition");
    rig.queen.put_config(None, "Push", "correct-horse-battery".into(), Some(true), false).await.unwrap();
    assert_eq!(listed().await, expected(true, true));
    let disabled = rig.queen.set_enabled("flow", false).await.unwrap();
    assert_eq!(json!(disabled.triggers), expected(true, false));
    assert_eq!(listed().await, expected(true, false));
}
